# SPDX-License-Identifier: Apache-2.0
"""Services of a lab: DHCP, boot files, BMCs."""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from kadeploy.errors import ServiceError
from kadeploy.lab import bmc, configuration, dhcp, processes
from kadeploy.lab.driver import LabDriver
from kadeploy.lab.plan import HTTP_PORT, SERVER_ADDRESS, LabPlan, NodePlan
from kadeploy.lab.undo_log import UndoLog

SERVICE_SECONDS = 15.0  # until a service that was started answers
BMC_SECONDS = 20.0  # for ipmitool to give up
BOOT_SERVICE = "kadeploy-boot"
BMCS_AT_ONCE = 8  # asked for their power state


def start(lab: LabPlan, kind: LabDriver, undo_log: UndoLog) -> None:
    """Start all services, and return when they answer; raises ServiceError."""
    (lab.state / "dnsmasq.conf").write_text(dhcp.configuration(lab))
    (lab.state / dhcp.HOSTS).write_text(dhcp.hosts(lab))
    _start(lab, undo_log, "dnsmasq", dhcp.arguments(lab))
    _start(lab, undo_log, BOOT_SERVICE, [_boot_program(), "--config-dir", str(lab.config)])
    _start_bmcs(lab, kind, undo_log)
    _await_bmcs(lab)
    _await_boot_service(lab)
    _check_alive(lab.state / dhcp.RECORD, "dnsmasq", lab.state / "dnsmasq.log")


def boot_service(lab: LabPlan) -> int:
    """Pid of the lab's kadeploy-boot; raises ServiceError if it has ended."""
    return _check_alive(_record(lab.state, BOOT_SERVICE), BOOT_SERVICE, _log(lab.state, BOOT_SERVICE))


def _start_bmcs(lab: LabPlan, kind: LabDriver, undo_log: UndoLog) -> None:
    """Start the BMCs; their entries are written together, for each write waits for the disk."""
    undo_log.announce_all(("process", _record(node.directory, "bmc")) for node in lab.nodes)
    undo_log.announce_all(("machine", record) for node in lab.nodes for record in kind.records(node))
    for node in lab.nodes:
        _launch(lab, "bmc", bmc.arguments(node), node.directory)


def _start(lab: LabPlan, undo_log: UndoLog, name: str, argv: list[str]) -> None:
    undo_log.announce("process", _record(lab.state, name))
    _launch(lab, name, argv, lab.state)


def _record(directory: Path, name: str) -> Path:
    return directory / f"{name}.pid"


def _log(directory: Path, name: str) -> Path:
    return directory / f"{name}.log"


def _launch(lab: LabPlan, name: str, argv: list[str], directory: Path) -> None:
    record = _record(directory, name)
    try:
        processes.launch(argv, record=str(record), log=str(_log(directory, name)), state=str(lab.state))
    except OSError as error:
        raise ServiceError(f"{argv[0]} cannot be started: {error.strerror}") from error


def _boot_program() -> str:
    """Path of kadeploy-boot of this installation."""
    beside = Path(sys.executable).parent / BOOT_SERVICE
    return str(beside) if beside.is_file() else BOOT_SERVICE


def _await_boot_service(lab: LabPlan) -> None:
    path = "/boot.ipxe" if lab.boot_program == "ipxe" else "/"
    log = _log(lab.state, BOOT_SERVICE)

    def answers() -> bool:
        boot_service(lab)
        connection = http.client.HTTPConnection(SERVER_ADDRESS, HTTP_PORT, timeout=2)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            return answer.status == 200 or path == "/"
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    if not _wait(answers):
        url = f"http://{SERVER_ADDRESS}:{HTTP_PORT}{path}"
        raise ServiceError(f"{BOOT_SERVICE} does not serve {url}", hint=_tail(log))


def _await_bmcs(lab: LabPlan) -> None:
    """Ask each BMC for the power state, several at once, until all have answered that their machine is
    off."""
    nodes = lab.nodes
    for first in range(0, len(nodes), BMCS_AT_ONCE):
        silent = list(nodes[first : first + BMCS_AT_ONCE])

        def answer(silent: list[NodePlan] = silent) -> bool:
            for node in silent:
                _check_alive(node.file("bmc.pid"), f"the BMC of {node.name}", node.file("bmc.log"))
            silent[:] = [node for node, text in _ask_bmcs(lab, silent) if text != "Chassis Power is off"]
            return not silent

        if not _wait(answer):
            log = silent[0].file("bmc.log")
            raise ServiceError(f"the BMC of {silent[0].name} does not answer", hint=_tail(log))


def _ask_bmcs(lab: LabPlan, nodes: Sequence[NodePlan]) -> list[tuple[NodePlan, str]]:
    password = lab.config / configuration.BMC_PASSWORD
    with ExitStack() as ended:
        asked = []
        for node in nodes:
            argv = bmc.client_arguments(node, password, "chassis", "power", "status")
            client = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            ended.enter_context(client)
            ended.callback(client.kill)  # so that Ctrl-C does not wait for it
            asked.append((node, client))
        return [(node, client.communicate(timeout=BMC_SECONDS)[0].strip()) for node, client in asked]


def _wait(answers: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SERVICE_SECONDS
    while not answers():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _check_alive(record: Path, name: str, log: Path) -> int:
    """Pid of a service; raises ServiceError if it has ended."""
    pid = processes.running(str(record))
    if pid is None:
        raise ServiceError(f"{name} has ended", hint=_tail(log))
    return pid


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return f"its log ends: {' | '.join(lines[-3:])}" if lines else "its log is empty"
