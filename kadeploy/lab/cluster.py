# SPDX-License-Identifier: Apache-2.0
"""A lab comes up and goes away, with nothing of it left behind."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from kadeploy.errors import NotFoundError, RefusedError, ServiceError
from kadeploy.lab import (
    bmc,
    configuration,
    dhcp,
    driver,
    interrupts,
    journal,
    machine,
    network,
    plan,
    processes,
)
from kadeploy.lab.driver import Driver
from kadeploy.lab.journal import Journal
from kadeploy.lab.plan import HTTP_PORT, SERVER_ADDRESS, LabPlan, NodePlan

Progress = Callable[[str], None]

SERVICE_SECONDS = 15.0  # until a service that was started answers
GRACE_SECONDS = 3.0  # for a service to end by itself
TOOLS = ("dnsmasq", "ipmi_sim", "ipmitool")


def up(lab: LabPlan, say: Progress) -> None:
    """Bring a lab up; on any failure, Ctrl-C included, nothing of it is left.

    Raises RefusedError where a lab of this name is up, NotFoundError where a tool or the deployment
    environment is missing, ServiceError where a service does not answer.
    """
    check_root()
    kind = driver.of(lab.driver)
    _check_tools(kind)
    configuration.check_deploy_env(lab.deploy_env)
    with journal.locked(lab.name):
        _check_free(lab, say)
        try:
            with interrupts.remembered() as check_interrupt:
                _build(lab, kind, check_interrupt, say)
        except BaseException:
            interrupts.ignored()
            say("taking down what was made")
            _remove(lab.name, lab.state, say)
            raise


def down(name: str, say: Progress) -> bool:
    """Take away all that a lab has made; False where there is no such lab."""
    check_root()
    plan.check_name(name)
    with journal.locked(name):
        state = journal.state_of(name)
        if state is None:
            return False
        _remove(name, state, say)
    return True


def find(name: str) -> LabPlan:
    """The plan of a lab that is up; raises NotFoundError."""
    check_root()
    plan.check_name(name)
    state = journal.state_of(name)
    lab = journal.load_plan(state) if state else None
    if lab is None or not Journal(lab.state).is_ready():
        others = ", ".join(journal.names()) or "none"
        raise NotFoundError(
            f"lab '{name}' is not up", hint=f"labs of this machine: {others}; start one with 'kalab up -n 3'"
        )
    return lab


def check_root() -> None:
    """Raises RefusedError for users who may not make network namespaces."""
    if os.geteuid() != 0:
        raise RefusedError("a lab needs root: it makes a network namespace", hint="use sudo")


def _check_tools(kind: Driver) -> None:
    missing = [tool for tool in (*kind.tools, *TOOLS) if shutil.which(tool) is None]
    if missing:
        raise NotFoundError(
            f"missing programs: {', '.join(missing)}",
            hint=f"apt install {kind.packages} dnsmasq-base openipmi ipmitool",
        )


def _check_free(lab: LabPlan, say: Progress) -> None:
    state = journal.state_of(lab.name)
    if state is not None:
        if Journal(state).is_ready() and network.exists(lab.namespace):
            raise RefusedError(
                f"lab '{lab.name}' is up already ({state})",
                hint=f"'kalab down --name {lab.name}' first, or choose another --name",
            )
        say(f"taking down what is left of lab '{lab.name}'")
        _remove(lab.name, state, say)
    if network.exists(lab.namespace):
        raise RefusedError(
            f"a network namespace {lab.namespace} exists which no lab has made",
            hint=f"choose another --name, or 'ip netns delete {lab.namespace}'",
        )
    for directory in (lab.state, lab.config):
        if directory.exists() and any(directory.iterdir()):
            raise RefusedError(f"{directory} is not empty", hint="choose another directory")


def _build(lab: LabPlan, kind: Driver, check_interrupt: Callable[[], None], say: Progress) -> None:
    journal.register(lab.name, lab.state)
    book = Journal(lab.state)
    book.announce("directory", lab.state)
    journal.save_plan(lab)
    shared = kind.prepare_lab(lab)
    password = bmc.new_password()
    for node in lab.nodes:
        _prepare(lab, node, kind, password)
    book.announce("directory", lab.config)
    lab.config.mkdir(parents=True, mode=0o700, exist_ok=True)
    lab.repository.mkdir()
    configuration.write(lab, kind.timeouts(lab), password)
    say(f"{lab.count} nodes prepared ({shared}); network namespace {lab.namespace}")
    book.announce("namespace", lab.namespace)
    network.create(lab, kind)
    _start_services(lab, kind, book, say)
    check_interrupt()
    book.announce("ready", lab.name)


def _prepare(lab: LabPlan, node: NodePlan, kind: Driver, password: str) -> None:
    """Everything of a machine that is off."""
    (node.directory / "faults").mkdir(parents=True)
    node.file("console.log").touch(mode=0o600)
    with node.file("disk").open("wb") as disk:
        disk.truncate(lab.disk)
    fields = {"driver": lab.driver, "state": str(lab.state), **kind.prepare_node(lab, node)}
    node.file("machine.json").write_text(json.dumps(fields, indent=1))
    bmc.write(node, password)


def _start_services(lab: LabPlan, kind: Driver, book: Journal, say: Progress) -> None:
    (lab.state / "dnsmasq.conf").write_text(dhcp.configuration(lab))
    (lab.state / dhcp.HOSTS).write_text(dhcp.hosts(lab))
    _start(lab, book, "dnsmasq", dhcp.arguments(lab), lab.state)
    _start(lab, book, "kadeploy-boot", [_boot_program(), "--config-dir", str(lab.config)], lab.state)
    for node in lab.nodes:
        for record in kind.records(node):
            book.announce("machine", record)
        _start(lab, book, "bmc", bmc.arguments(node), node.directory)
    _await_bmcs(lab)
    _await_boot_service(lab)
    _check_alive(lab.state / dhcp.RECORD, "dnsmasq", lab.state / "dnsmasq.log")
    say("DHCP, boot files and BMCs answer")


def _start(lab: LabPlan, book: Journal, name: str, argv: list[str], directory: Path) -> None:
    record = directory / f"{name}.pid"
    book.announce("process", record)
    try:
        processes.launch(argv, record=str(record), log=str(directory / f"{name}.log"), state=str(lab.state))
    except OSError as error:
        raise ServiceError(f"{argv[0]} cannot be started: {error.strerror}") from error


def _boot_program() -> str:
    """kadeploy-boot of this installation."""
    beside = Path(sys.executable).parent / "kadeploy-boot"
    return str(beside) if beside.is_file() else "kadeploy-boot"


def _await_boot_service(lab: LabPlan) -> None:
    path = "/boot.ipxe" if lab.boot_program == "ipxe" else "/"
    log = lab.state / "kadeploy-boot.log"

    def answers() -> bool:
        _check_alive(lab.state / "kadeploy-boot.pid", "kadeploy-boot", log)
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
        raise ServiceError(f"kadeploy-boot does not serve {url}", hint=_tail(log))


def _await_bmcs(lab: LabPlan) -> None:
    """Ask every BMC for its power state, until each has told that its machine is off."""
    password = lab.config / configuration.BMC_PASSWORD
    for node in lab.nodes:
        argv = bmc.client_arguments(node, password, "chassis", "power", "status")

        def answers(argv: list[str] = argv, node: NodePlan = node) -> bool:
            _check_alive(node.file("bmc.pid"), f"the BMC of {node.name}", node.file("bmc.log"))
            done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
            return done.stdout.strip() == "Chassis Power is off"

        if not _wait(answers):
            raise ServiceError(f"the BMC of {node.name} does not answer", hint=_tail(node.file("bmc.log")))


def _wait(answers: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SERVICE_SECONDS
    while not answers():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _check_alive(record: Path, name: str, log: Path) -> None:
    if processes.running(str(record)) is None:
        raise ServiceError(f"{name} has ended", hint=_tail(log))


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return f"its log ends: {' | '.join(lines[-3:])}" if lines else "its log is empty"


def _remove(name: str, state: Path, say: Progress) -> None:
    entries = Journal(state).entries()
    if state.is_dir():
        (state / machine.CLOSING).touch()  # from here on no BMC starts a machine
    # The BMCs before their machines, and each after what it was asked last.
    for entry in (entry for entry in entries if entry.kind == "process"):
        processes.stop(entry.name, state=str(state), grace=GRACE_SECONDS)
    for entry in (entry for entry in entries if entry.kind == "machine"):
        _stop_machine(Path(entry.name), state)
    lab = journal.load_plan(state)
    if lab is not None:
        driver.of(lab.driver).clear(lab)
    for entry in (entry for entry in entries if entry.kind == "namespace"):
        left = network.inhabitants(entry.name)
        if left:
            say(f"left alone in {entry.name}: processes {' '.join(map(str, left))} are not the lab's")
        network.remove(entry.name)
    for entry in reversed([entry for entry in entries if entry.kind == "directory"]):
        if Path(entry.name).exists():
            shutil.rmtree(entry.name)
    if state.is_dir() and not any(path.name != machine.CLOSING for path in state.iterdir()):
        shutil.rmtree(state)  # it died before its first word in the journal
    journal.forget(name)


def _stop_machine(record: Path, state: Path) -> None:
    if record.parent.is_dir():
        with machine.locked(record.parent):
            processes.stop(str(record), state=str(state), grace=0)
