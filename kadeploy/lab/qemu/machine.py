# SPDX-License-Identifier: Apache-2.0
"""QEMU machines: boot order and buttons, through the machine's monitor.

Standard library only: this is started anew for each command of a BMC.
"""

from __future__ import annotations

from kadeploy.lab.machine import Machine, Refused
from kadeploy.lab.qemu.qmp import Qmp, QmpError


class QemuMachine(Machine):
    """Machine whose boot order QEMU gets as arguments when it starts, and through QMP while it runs."""

    def boot_order(self) -> dict[str, int]:
        """Map each device to its ``bootindex``, -1 for one that the firmware must not try."""
        if self.has_fault("no-boot"):
            # QEMU ignores strict=on where no device is left. So the network stays, and the DHCP server does
            # not answer.
            return {"net0": 0, "disk0": -1}
        if self.has_fault("wrong-boot"):
            return {"net0": -1, "disk0": 0}
        if self.boot_device == "default":
            return {"net0": 1, "disk0": 0}
        return {"net0": 0, "disk0": 1}

    def start_order(self) -> dict[str, int]:
        """Order of a machine that is off and is now to start."""
        return self.boot_order()

    def start_arguments(self) -> list[str]:
        arguments = []
        for device, index in self.start_order().items():
            if index >= 0:
                arguments += ["-set", f"device.{device}.bootindex={index}"]
        return arguments

    def press_reset(self) -> None:
        self.boot_order_changed()
        self._execute("system_reset")

    def press_power(self) -> None:
        self._execute("system_powerdown")

    def boot_order_changed(self) -> None:
        """Give QEMU the order; the firmware gets it at the next reset."""
        order = self.boot_order()
        try:
            with Qmp(self.file("qmp.sock")) as qmp:
                for device in order:  # an index must not be taken twice, not even for a moment
                    path = f"/machine/peripheral/{device}"
                    qmp.execute("qom-set", path=path, property="bootindex", value=-1)
                for device, index in order.items():
                    path = f"/machine/peripheral/{device}"
                    qmp.execute("qom-set", path=path, property="bootindex", value=index)
        except QmpError as error:
            raise Refused(str(error)) from error

    def _execute(self, command: str) -> None:
        try:
            with Qmp(self.file("qmp.sock")) as qmp:
                qmp.execute(command)
        except QmpError as error:
            raise Refused(str(error)) from error
