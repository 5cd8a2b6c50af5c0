# SPDX-License-Identifier: Apache-2.0
"""A machine as its BMC sees it: what ipmi_sim runs for ``get power``, ``set reset 1``, ``set boot pxe``.

The power state is the truth: a machine is on while the process of its record runs. A machine that is off
cannot be reset, as with real BMCs. Whoever switches holds the machine's lock. Standard library only: this
is started anew for each command.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kadeploy.lab import processes
from kadeploy.lab.qmp import Qmp, QmpError

BOOT_DEVICES = ("none", "pxe", "default")
CLOSING = "closing"  # this file in the state directory: the lab ends, nothing may be started


class Refused(Exception):
    """The BMC does not do what it was asked for; becomes an error completion code."""


class Machine:
    """The machine in ``directory``, which holds machine.json and all that the machine leaves behind."""

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)
        self.record = self.file("qemu.pid")

    def file(self, name: str) -> str:
        return str(self.directory / name)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else switches this machine meanwhile."""
        with Path(self.file("lock")).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @property
    def pid(self) -> int | None:
        """The pid of the running machine, None while it is off."""
        return processes.running(self.record)

    def _plan(self) -> dict[str, Any]:
        plan: dict[str, Any] = json.loads(Path(self.file("machine.json")).read_text())
        return plan

    @property
    def boot_device(self) -> str:
        try:
            return Path(self.file("boot-device")).read_text().strip()
        except FileNotFoundError:
            return "none"

    def has_fault(self, kind: str) -> bool:
        return (self.directory / "faults" / kind).exists()

    def boot_order(self) -> dict[str, int]:
        """The ``bootindex`` of each device, -1 for one that the firmware must not try."""
        if self.has_fault("no-boot"):
            # QEMU's strict boot forgets to be strict where no device is left: the network stays, for which
            # the DHCP server has no address.
            return {"net0": 0, "disk0": -1}
        if self.boot_device == "default":
            return {"net0": 1, "disk0": 0}
        return {"net0": 0, "disk0": 1}

    def power_on(self) -> None:
        """Start the machine; nothing happens to one that is on."""
        if self.pid is not None:
            return
        plan = self._plan()
        if Path(plan["state"], CLOSING).exists():
            raise Refused("the lab is being taken down")
        argv = list(plan["argv"])
        for device, index in self.boot_order().items():
            if index >= 0:
                argv += ["-set", f"device.{device}.bootindex={index}"]
        processes.launch(argv, record=self.record, log=self.file("qemu.log"), state=plan["state"])

    def power_off(self) -> None:
        """Cut the power: nothing is flushed, nobody is asked."""
        processes.stop(self.record, state=self._plan()["state"], grace=0)

    def reset(self) -> None:
        """The reset button; raises Refused for a machine that is off."""
        if self.pid is None:
            raise Refused("the machine is off")
        self.apply_boot_order()
        with Qmp(self.file("qmp.sock")) as qmp:
            qmp.execute("system_reset")

    def shut_down(self) -> None:
        """The power button, which the operating system may obey."""
        if self.pid is None:
            raise Refused("the machine is off")
        with Qmp(self.file("qmp.sock")) as qmp:
            qmp.execute("system_powerdown")

    def set_boot_device(self, device: str) -> None:
        """Which device is tried first from the next start or reset on, until another one is set."""
        if device not in BOOT_DEVICES:
            raise Refused(f"no boot device '{device}'")
        Path(self.file("boot-device")).write_text(device + "\n")
        if self.pid is not None:
            self.apply_boot_order()

    def apply_boot_order(self) -> None:
        """Tell a running machine its boot order, which QEMU hands to the firmware at the next reset."""
        order = self.boot_order()
        with Qmp(self.file("qmp.sock")) as qmp:
            for device in order:  # an index must not be taken twice, not even for a moment
                qmp.execute("qom-set", path=f"/machine/peripheral/{device}", property="bootindex", value=-1)
            for device, index in order.items():
                path = f"/machine/peripheral/{device}"
                qmp.execute("qom-set", path=path, property="bootindex", value=index)

    def switch(self, verb: str, value: str) -> None:
        """Obey ``set VERB VALUE``; raises Refused."""
        if self.has_fault("no-power"):
            raise Refused("the fault no-power is on")
        with self.locked():
            if verb == "power":
                self.power_on() if value == "1" else self.power_off()
            elif verb == "reset":
                self.reset()
            elif verb == "shutdown":
                self.shut_down()
            elif verb == "boot":
                self.set_boot_device(value)
            else:
                raise Refused(f"this BMC cannot set {verb}")

    def tell(self, verbs: list[str]) -> list[str]:
        """The answers to ``get VERB…`` as ipmi_sim reads them; raises Refused."""
        answers = {"power": str(int(self.pid is not None)), "boot": self.boot_device}
        unknown = [verb for verb in verbs if verb not in answers]
        if unknown:
            raise Refused(f"this BMC cannot get {unknown[0]}")
        return [f"{verb}:{answers[verb]}" for verb in verbs]


def main(directory: str, verb: str, *rest: str) -> int:
    """``get WHAT…`` or ``set WHAT VALUE``; the exit status for ipmi_sim, its reason on stderr."""
    machine = Machine(directory)
    try:
        if verb == "get":
            sys.stdout.write("".join(f"{line}\n" for line in machine.tell(list(rest))))
        else:
            machine.switch(*rest)
    except (Refused, QmpError, TimeoutError, OSError) as error:
        sys.stderr.write(f"{directory}: {verb} {' '.join(rest)}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
