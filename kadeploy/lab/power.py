# SPDX-License-Identifier: Apache-2.0
"""Switching machines by hand through their BMCs, with ipmitool as kadeploy calls it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kadeploy.config import namespace
from kadeploy.lab import bmc
from kadeploy.lab.configuration import BMC_PASSWORD
from kadeploy.lab.plan import LabPlan, NodePlan

SECONDS = 20.0  # for one command


@dataclass(frozen=True, slots=True)
class BmcAnswer:
    """Answer of a BMC: the output of ipmitool, and ``ok`` if the BMC has obeyed."""

    ok: bool
    text: str


def switch(lab: LabPlan, nodes: Sequence[NodePlan], action: str) -> Iterator[tuple[NodePlan, BmcAnswer]]:
    """Order the BMC of each node ``on``, ``off``, ``cycle``, ``reset`` or ``status``, in order.

    Enters the lab's namespace.
    """
    namespace.enter(lab.namespace)
    for node in nodes:
        argv = bmc.client_arguments(node, lab.config / BMC_PASSWORD, "chassis", "power", action)
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            yield node, BmcAnswer(False, f"its BMC did not answer within {SECONDS:g} s")
        else:
            text = (done.stdout if done.returncode == 0 else done.stderr).strip()
            yield node, BmcAnswer(done.returncode == 0, text)
