# SPDX-License-Identifier: Apache-2.0
"""Check that the programs of this machine exist which a cluster's file names, before a node is touched.

One that does not exist fails on each node, and the next level is taken: a soft reboot becomes a hard one.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

from kadeploy.config.remote_operations import PowerAction
from kadeploy.config.site import Site
from kadeploy.config.yaml_file import Location, problem_at
from kadeploy.errors import FileError
from kadeploy.local.lookup import find_problem
from kadeploy.power.way import POWER_WAYS

HINT = "install it, or correct the cluster's file"


def check_power(site: Site, cluster: str, actions: Iterable[PowerAction]) -> None:
    """Check those by which machines are switched; raises FileError with all that cannot be executed."""
    _check(site, cluster, [found for action in actions for found in _of_action(site, cluster, action)])


def check_broadcast(site: Site, cluster: str) -> None:
    """Check the command of BroadcastEnvCustom, if there is one; raises FileError where it cannot be run."""
    words = shlex.split(site.clusters[cluster].localops.broadcastenv.cmd)
    _check(site, cluster, [(("localops", "broadcastenv", "cmd"), word) for word in words[:1]])


def _of_action(site: Site, cluster: str, action: PowerAction) -> Iterator[tuple[Location, str]]:
    for number, setting in enumerate(site.clusters[cluster].remoteops.entries(action)):
        program = POWER_WAYS[setting.method].program(setting)
        key = "cmd" if "cmd" in type(setting).model_fields else "method"
        yield ("remoteops", str(action), number, key), program


def _check(site: Site, cluster: str, programs: Sequence[tuple[Location, str]]) -> None:
    problems = [
        problem_at(site.cluster_files[cluster], location, f"the program '{program}' {problem}")
        for location, program in programs
        if program and (problem := find_problem(program, site.directory))
    ]
    if problems:
        raise FileError(problems, hint=HINT)
