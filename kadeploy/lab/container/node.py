# SPDX-License-Identifier: Apache-2.0
"""Process of a container node that is switched on: it boots, serves the console, and boots again.

``python -m kadeploy.lab.container.node DIRECTORY``. The node ends with it, however it ends: the first
process of the node's system is killed by the kernel, the disk and the network card go away with the last
process that used them. Standard library only: hundreds of these run.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from kadeploy.lab import processes
from kadeploy.lab.container import disk, localdisk, syscalls, system
from kadeploy.lab.container.console import Console
from kadeploy.lab.container.cut import LinkCut
from kadeploy.lab.container.machine import POWER_BUTTON, RESET, SYSTEM_RECORD
from kadeploy.lab.container.node_faults import NodeFaults
from kadeploy.lab.container.system import Start, SystemPaths
from kadeploy.lab.container.uevents import Uevents
from kadeploy.lab.container.wire import Wire
from kadeploy.lab.machine import CONSOLE, FAULTS_CHANGED, read_plan

KEXEC = "kexec-now"  # the node's kexec has put the command line of the next kernel into this file

# Signals that make a first process switch off: systemd(1) and busybox' init; others ignore them.
_SHUT_DOWN = {"systemd": signal.SIGRTMIN + 4, "init": signal.SIGUSR2}


def delay(plan: Mapping[str, Any], boots: int) -> float:
    """Seconds that the firmware takes at the boot of this number, by the node's machine.json."""
    chance = random.Random(f"{plan['seed']} {plan['name']} {boots}")  # noqa: S311 - to be repeated, no secret
    seconds: float = plan["boot_delay"] + chance.uniform(-1, 1) * plan["boot_spread"]
    return seconds


class Reset(Exception):
    """Press of the reset button."""


class ContainerNode:
    """Container node; ``run`` returns when the node has switched itself off."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._plan: dict[str, Any] = read_plan(directory)
        for name in ("dev", "root", "memory", "shared", "shown"):
            (directory / name).mkdir(exist_ok=True)
        self._console = Console(directory / CONSOLE, directory / "console.sock")
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount("", Path("/"), flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
        # Not on the host's disk, whose device may have the name of the node's, which the node unmounts.
        for name in ("shared", "shown"):
            syscalls.mount(name, directory / name, "tmpfs", 0, "mode=755,size=1m")
        self._faults = NodeFaults(directory)
        self._defect = self._faults.defect
        self._attach_disk()
        self._wire = Wire(**self._plan["wire"])
        self._cut = LinkCut(directory, self._wire.received, self._plug)
        self._paths = SystemPaths(
            directory,
            Path(self._plan["shims"]),
            self._plan["state"],
            self._plan["cgroup"],
            self._console.slave,
        )
        self._reset = self._faults_changed = False
        self._system: int | None = None
        signal.signal(RESET, self._note_reset)
        signal.signal(POWER_BUTTON, self._pass_on_power_button)
        signal.signal(FAULTS_CHANGED, self._note_faults)

    def run(self) -> None:
        """Boot, and boot again after each end of a system."""
        start: Start | None = None
        on = True
        while on:
            try:
                start = start or self._boot()
                on = self._run_system(start)
                start = self._kexec()
            except Reset:
                start = None
        self._console.close()

    def _boot(self) -> Start:
        """Run the firmware until it finds something to start; raises Reset."""
        self._cut.disarm()
        while True:
            self._console.reopen()
            self._change_disk()
            self._read_table()
            self._renew_wire()
            self._sleep(self._delay())
            if self._faults.firmware_hangs():
                self._console.write_line("firmware: the fault firmware-hang is on")
                self._sleep(None)
            self._wire.set_address()
            decision = self._decide()
            self._wire.clear_address()
            if decision.get("start"):
                return Start(**decision["start"])
            if not decision.get("restart"):
                self._sleep(None)

    def _delay(self) -> float:
        """Seconds of this boot, the same in every lab of this seed."""
        file = self._directory / "boots"
        boots = int(file.read_text()) + 1 if file.exists() else 1
        file.write_text(f"{boots}\n")
        return self._faults.delay(delay(self._plan, boots))

    def _attach_disk(self) -> None:
        self._disk = disk.attach(self._directory, self._defect)
        self._uevents = Uevents(f"/devices/virtual/block/{self._disk.name}/")

    def _change_disk(self) -> None:
        """Attach the disk with the defect of the faults that are on."""
        defect = self._faults.defect
        if defect != self._defect:
            self._defect = defect
            self._uevents.close()
            disk.detach(self._directory, self._disk)
            self._attach_disk()

    def _read_table(self) -> None:
        """Let the disk have the partitions of its table: a machine that starts knows no others."""
        try:
            self._disk.read_table()
        except OSError as error:
            self._console.write_line(f"disk: {error.strerror}")
            self._sleep(None)

    def _renew_wire(self) -> None:
        self._wire = replace(self._wire, rate=self._rate())
        self._wire.renew(plugged=not self._faults.is_unplugged and not self._cut.is_on)

    def _rate(self) -> str:
        usual: str = self._plan["wire"]["rate"]
        return self._faults.rate or usual

    def _plug(self, plugged: bool) -> None:
        self._wire.plug(plugged and not self._faults.is_unplugged)

    def _decide(self) -> dict[str, Any]:
        """Run the firmware in a child, for it waits, and return its decision, empty if it fails."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            self._run_firmware(writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            self._await(child)
            text = pipe.read()
        decision: dict[str, Any] = json.loads(text) if text else {}
        return decision

    def _run_firmware(self, answer: int) -> None:
        try:
            syscalls.die_with_parent()
            syscalls.unshare(syscalls.CLONE_NEWNS)  # its mounts end with it
            for descriptor in (1, 2):
                os.dup2(self._console.slave, descriptor)
            from dataclasses import asdict

            from kadeploy.lab.container.firmware import FirmwareStart

            order: tuple[str, ...] = ("disk", "net") if self._boot_device() == "default" else ("net", "disk")
            order, lost = self._faults.order(order), self._faults.lost_requests
            decision = FirmwareStart(self._directory, self._plan, self._disk, order, lost).decide()
            os.write(answer, json.dumps(asdict(decision)).encode())
        except Exception as error:  # the firmware has crashed: the console shows how
            os.write(1, f"firmware: {type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(0)

    def _run_system(self, start: Start) -> bool:
        """Start a system and wait for its end; True if the machine is still on. Raises Reset."""
        (self._directory / "shared" / KEXEC).unlink(missing_ok=True)
        system.make_devices(self._paths, self._disk)
        layers = tuple(f"{self._plan['faulty']}/{kind}" for kind in self._faults.layers)
        self._cut.arm(counting=True)
        record = str(self._directory / SYSTEM_RECORD)
        self._system = system.start(
            self._paths,
            self._disk,
            replace(start, layers=layers),
            lambda pid: processes.write_record(record, pid),
        )
        try:
            status = self._await(self._system)
        finally:
            self._system = None
        # The first process ends by these signals after reboot(2) in a PID namespace: pid_namespaces(7).
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGHUP:
            return True
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGINT:
            self._console.write_line("reboot: Power down")
            return False
        self._console.write_line(
            f"Kernel panic - not syncing: Attempted to kill init! exitcode={status:#010x}"
        )
        self._sleep(None)
        return True

    def _kexec(self) -> Start | None:
        """System that the last one has loaded for kexec, if it has."""
        try:
            command_line = (self._directory / "shared" / KEXEC).read_text().strip()
        except FileNotFoundError:
            return None
        self._console.write_line("kexec_core: Starting new kernel")
        self._console.reopen()
        self._read_table()
        self._renew_wire()
        partition = localdisk.root_partition(self._disk, command_line)
        if partition is None:
            self._console.write_line("Kernel panic - not syncing: VFS: Unable to mount root fs")
            self._sleep(None)
            return None
        return Start(command_line, partition=partition)

    def _await(self, child: int) -> int:
        """Serve console and devices until a child ends, and return its wait status. A reset kills it."""
        while True:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid == child:
                self._raise_reset()
                return status
            if self._reset:
                os.kill(child, signal.SIGKILL)
            self._serve(None)

    def _sleep(self, seconds: float | None) -> None:
        """Serve the console for some seconds, for ever if None; raises Reset."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while deadline is None or time.monotonic() < deadline:
            self._raise_reset()
            self._serve(None if deadline is None else max(0.0, deadline - time.monotonic()))

    def _serve(self, seconds: float | None) -> None:
        ready = self._console.serve(self._cut.limit_wait(seconds), self._uevents.descriptor)
        if ready and self._uevents.read_pending():
            self._disk.make_nodes(self._paths.devices)
        if self._faults_changed:
            self._faults_changed = False
            self._apply_faults()
        self._cut.update()

    def _apply_faults(self) -> None:
        """Apply the faults that have an immediate effect."""
        if self._rate() != self._wire.rate:
            self._wire = replace(self._wire, rate=self._rate())
            self._wire.limit()
        self._cut.arm(counting=self._system is not None)

    def _raise_reset(self) -> None:
        if self._reset:
            self._reset = False
            raise Reset

    def _note_reset(self, number: int, where: FrameType | None) -> None:
        self._reset = True

    def _note_faults(self, number: int, where: FrameType | None) -> None:
        self._faults_changed = True

    def _pass_on_power_button(self, number: int, where: FrameType | None) -> None:
        if self._system is not None:
            with contextlib.suppress(OSError):  # the system has just ended
                name = Path(f"/proc/{self._system}/comm").read_text().strip()
                os.kill(self._system, _SHUT_DOWN.get(name, signal.SIGUSR2))

    def _boot_device(self) -> str:
        file = self._directory / "boot-device"
        return file.read_text().strip() if file.exists() else "none"


if __name__ == "__main__":
    ContainerNode(Path(sys.argv[1])).run()
