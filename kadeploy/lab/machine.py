# SPDX-License-Identifier: Apache-2.0
"""A machine as its BMC sees it, whatever it is made of.

The power state is the truth: a machine is on while the process of its record runs. A machine that is off
cannot be reset, as with real BMCs. Whoever switches holds the machine's lock. Standard library only: this
is started anew for each command of a BMC.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import signal
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from kadeploy.lab import processes
from kadeploy.lab.faults import marks

BOOT_DEVICES = ("none", "pxe", "default")
FAULTS_CHANGED = signal.SIGHUP  # tells the process of a container node to look at its faults
TOLD = "told-power"  # this file of a machine: the power state of which its BMC lies
CONSOLE = "console.log"  # this file of a machine: all that its console has shown
CLOSING = "closing"  # this file in the state directory: the lab ends, nothing may be started


class Refused(Exception):
    """The BMC does not do what it was asked for; becomes an error completion code."""


def record_of(directory: Path) -> Path:
    """Where the process of a machine is recorded."""
    return directory / "machine.pid"


def read_plan(directory: Path) -> dict[str, Any]:
    """What the driver has written of a machine: its ``driver``, the lab's ``state`` directory, ``argv``."""
    plan: dict[str, Any] = json.loads((directory / "machine.json").read_text())
    return plan


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Nobody else switches the machine of this directory meanwhile."""
    with (directory / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Machine(ABC):
    """The machine in ``directory``, which holds machine.json and all that the machine leaves behind."""

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)
        self.record = str(record_of(self.directory))

    def file(self, name: str) -> str:
        return str(self.directory / name)

    def locked(self) -> AbstractContextManager[None]:
        """Nobody else switches this machine meanwhile."""
        return locked(self.directory)

    @property
    def pid(self) -> int | None:
        """The pid of the running machine, None while it is off."""
        return processes.running(self.record)

    @property
    def boot_device(self) -> str:
        try:
            return Path(self.file("boot-device")).read_text().strip()
        except FileNotFoundError:
            return "none"

    def has_fault(self, kind: str) -> bool:
        return marks.value(self.directory, kind) is not None

    def power_on(self) -> None:
        """Start the machine; nothing happens to one that is on."""
        if self.pid is not None:
            return
        plan = read_plan(self.directory)
        if Path(plan["state"], CLOSING).exists():
            raise Refused("the lab is being taken down")
        argv = [*plan["argv"], *self.start_arguments()]
        processes.launch(argv, record=self.record, log=self.file("machine.log"), state=plan["state"])

    def power_off(self) -> None:
        """Cut the power: nothing is flushed, nobody is asked."""
        processes.stop(self.record, state=read_plan(self.directory)["state"], grace=0)

    def reset(self) -> None:
        """The reset button; raises Refused for a machine that is off."""
        if self.pid is None:
            raise Refused("the machine is off")
        self.press_reset()

    def shut_down(self) -> None:
        """The power button, which the operating system may obey."""
        if self.pid is None:
            raise Refused("the machine is off")
        self.press_power()

    def set_boot_device(self, device: str) -> None:
        """Which device is tried first from the next start or reset on, until another one is set."""
        if device not in BOOT_DEVICES:
            raise Refused(f"no boot device '{device}'")
        Path(self.file("boot-device")).write_text(device + "\n")
        if self.pid is not None:
            self.boot_order_changed()

    @abstractmethod
    def start_arguments(self) -> list[str]:
        """What is added to the command line of the plan when the machine is switched on now."""

    @abstractmethod
    def press_reset(self) -> None:
        """Reset the machine, which runs; raises Refused."""

    @abstractmethod
    def press_power(self) -> None:
        """Press the power button of the machine, which runs; raises Refused."""

    @abstractmethod
    def boot_order_changed(self) -> None:
        """A running machine has another boot device, or another fault; raises Refused."""
