# SPDX-License-Identifier: Apache-2.0
"""Labs as a whole: brings them up, finds them by name, and removes them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable

from kadeploy.errors import NotFoundError, RefusedError
from kadeploy.lab import (
    bmc,
    configuration,
    driver,
    interrupts,
    labs,
    network,
    plan,
    removal,
    services,
)
from kadeploy.lab.driver import LabDriver
from kadeploy.lab.plan import LabPlan, NodePlan
from kadeploy.lab.undo_log import UndoLog

Progress = Callable[[str], None]

TOOLS = ("dnsmasq", "ipmi_sim", "ipmitool")


def up(lab: LabPlan, report: Progress) -> None:
    """Bring a lab up, or remove all of it after a failure or Ctrl-C.

    Raises RefusedError where a lab of this name is up, NotFoundError where a tool or the deployment
    environment is missing, ServiceError where a service does not answer.
    """
    check_root()
    kind = driver.named(lab.driver)
    _check_tools(kind)
    configuration.check_deploy_env(lab.deploy_env)
    with labs.locked(lab.name):
        _check_free(lab, report)
        try:
            with interrupts.recorded() as check_interrupt:
                _build(lab, kind, check_interrupt, report)
        except BaseException:
            interrupts.ignore()
            report("taking down what was made")
            removal.remove(lab.name, lab.state, report)
            raise


def down(name: str, report: Progress) -> bool:
    """Remove a lab and all that it has made; False if there is no such lab."""
    check_root()
    plan.check_name(name)
    with labs.locked(name):
        state = labs.state_of(name)
        if state is None:
            return False
        removal.remove(name, state, report)
    return True


def find(name: str) -> LabPlan:
    """Plan of a lab that is up; raises NotFoundError."""
    check_root()
    plan.check_name(name)
    state = labs.state_of(name)
    lab = labs.load_plan(state) if state else None
    if lab is None or not UndoLog(lab.state).is_ready():
        others = ", ".join(labs.names()) or "none"
        raise NotFoundError(
            f"lab '{name}' is not up", hint=f"labs of this machine: {others}; start one with `start_lab`"
        )
    return lab


def check_root() -> None:
    """Raises RefusedError for users who may not make network namespaces."""
    if os.geteuid() != 0:
        raise RefusedError("a lab needs root: it makes a network namespace", hint="use sudo")


def _check_tools(kind: LabDriver) -> None:
    missing = [tool for tool in (*kind.tools, *TOOLS) if shutil.which(tool) is None]
    if missing:
        raise NotFoundError(
            f"missing programs: {', '.join(missing)}",
            hint=f"apt install {kind.packages} dnsmasq-base openipmi ipmitool",
        )


def _check_free(lab: LabPlan, report: Progress) -> None:
    state = labs.state_of(lab.name)
    if state is not None:
        if UndoLog(state).is_ready() and network.exists(lab.namespace):
            raise RefusedError(
                f"lab '{lab.name}' is up already ({state})",
                hint=f"`stop_lab` {lab.name} first, or choose another `name`",
            )
        report(f"taking down what is left of lab '{lab.name}'")
        removal.remove(lab.name, state, report)
    if network.exists(lab.namespace):
        raise RefusedError(
            f"a network namespace {lab.namespace} exists which no lab has made",
            hint=f"choose another `name`, or 'ip netns delete {lab.namespace}'",
        )
    for directory in (lab.state, lab.config):
        if directory.exists() and any(directory.iterdir()):
            raise RefusedError(f"{directory} is not empty", hint="choose another directory")


def _build(lab: LabPlan, kind: LabDriver, check_interrupt: Callable[[], None], report: Progress) -> None:
    labs.register(lab.name, lab.state)
    undo_log = UndoLog(lab.state)
    undo_log.announce("directory", lab.state)
    labs.save_plan(lab)
    shared = kind.prepare_lab(lab)
    password = bmc.new_password()
    for node in lab.nodes:
        _prepare(lab, node, kind, password)
    undo_log.announce("directory", lab.config)
    lab.config.mkdir(parents=True, mode=0o700, exist_ok=True)
    lab.repository.mkdir()
    configuration.write(lab, kind.timeouts(lab), password)
    report(f"{lab.count} nodes prepared ({shared}); network namespace {lab.namespace}")
    undo_log.announce("namespace", lab.namespace)
    network.create(lab, kind)
    services.start(lab, kind, undo_log)
    report("DHCP, boot files and BMCs answer")
    check_interrupt()
    undo_log.announce("ready", lab.name)


def _prepare(lab: LabPlan, node: NodePlan, kind: LabDriver, password: str) -> None:
    """Make the files of a machine, which is off."""
    (node.directory / "faults").mkdir(parents=True)
    node.console.touch(mode=0o600)
    fields = {"driver": lab.driver, "state": str(lab.state), **kind.prepare_node(lab, node)}
    node.file("machine.json").write_text(json.dumps(fields, indent=1))
    bmc.write(node, password)
