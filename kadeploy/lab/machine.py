# SPDX-License-Identifier: Apache-2.0
"""Machine of a BMC, independent of its driver.

A machine is on while the process of its record runs. A machine that is off cannot be reset, as with real
BMCs. A command that switches a machine holds its lock. Standard library only: this is started anew for each
command of a BMC.
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
FAULTS_CHANGED = signal.SIGHUP  # makes the process of a container node read its faults again
CLAIMED_POWER = "told-power"  # file of a machine: the power state that its lying BMC claims
CONSOLE = "console.log"  # file of a machine: the record of its console
CLOSING = "closing"  # file in the state directory: the lab is being removed, so nothing may be started


class Refused(Exception):
    """Order that the BMC refuses; becomes an error completion code."""


def record_of(directory: Path) -> Path:
    """Path of the record of a machine's process."""
    return directory / "machine.pid"


def read_plan(directory: Path) -> dict[str, Any]:
    """Fields that the driver wrote for a machine: ``driver``, the lab's ``state`` directory, ``argv``."""
    plan: dict[str, Any] = json.loads((directory / "machine.json").read_text())
    return plan


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Lock the machine of this directory against other processes that switch it."""
    with (directory / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Machine(ABC):
    """Machine in ``directory``, which holds machine.json and all other files of the machine."""

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)
        self.record = str(record_of(self.directory))

    def file(self, name: str) -> str:
        return str(self.directory / name)

    def locked(self) -> AbstractContextManager[None]:
        """Lock this machine against other processes that switch it."""
        return locked(self.directory)

    @property
    def pid(self) -> int | None:
        """Pid of the running machine, None while it is off."""
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
        """Start the machine, unless it is on."""
        if self.pid is not None:
            return
        plan = read_plan(self.directory)
        if Path(plan["state"], CLOSING).exists():
            raise Refused("the lab is being taken down")
        argv = [*plan["argv"], *self.start_arguments()]
        processes.launch(argv, record=self.record, log=self.file("machine.log"), state=plan["state"])

    def power_off(self) -> None:
        """Cut the power: nothing is flushed."""
        processes.stop(self.record, state=read_plan(self.directory)["state"], grace=0)

    def reset(self) -> None:
        """Reset as the button does; raises Refused for a machine that is off."""
        if self.pid is None:
            raise Refused("the machine is off")
        self.press_reset()

    def shut_down(self) -> None:
        """Press the power button, which the system may obey; raises Refused for a machine that is off."""
        if self.pid is None:
            raise Refused("the machine is off")
        self.press_power()

    def set_boot_device(self, device: str) -> None:
        """Set the device that is tried first at the next start or reset.

        A BIOS tries it first until another one is set, UEFI once.
        """
        if device not in BOOT_DEVICES:
            raise Refused(f"no boot device '{device}'")
        self.write_boot_device(device)
        if self.pid is not None:
            self.boot_order_changed()

    def write_boot_device(self, device: str) -> None:
        """Write down what the BMC has been ordered."""
        Path(self.file("boot-device")).write_text(device + "\n")

    @abstractmethod
    def start_arguments(self) -> list[str]:
        """Arguments to add to the command line of the plan when the machine is switched on now."""

    @abstractmethod
    def press_reset(self) -> None:
        """Reset the machine, which runs; raises Refused."""

    @abstractmethod
    def press_power(self) -> None:
        """Press the power button of the machine, which runs; raises Refused."""

    @abstractmethod
    def boot_order_changed(self) -> None:
        """Apply another boot device or another fault to a running machine; raises Refused."""
