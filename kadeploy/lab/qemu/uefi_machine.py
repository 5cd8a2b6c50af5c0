# SPDX-License-Identifier: Apache-2.0
"""QEMU machines with UEFI: they boot by the boot order in their NVRAM, which survives their power.

No device has a ``bootindex`` as a rule: by one OVMF writes the boot order anew at each start, and deletes
the entries that others have added. What the BMC orders for one boot is the variable BootNext instead, which
leaves order and entries as they are. It can only be written while the machine is off, so a reset by the BMC
that has such an order to carry out ends QEMU and starts it again; where a system restarts by itself, the
order waits.

A boot fault lasts for all boots, so it is a ``bootindex``. The NVRAM is kept from before, and put back at the
first start behind the fault. Standard library only, as of ``machine``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from kadeploy.lab.machine import Refused
from kadeploy.lab.qemu.machine import QemuMachine
from kadeploy.lab.qemu.nvram import Nvram, NvramError

VARIABLES = "OVMF_VARS.fd"  # file of a machine: its NVRAM
_KEPT = "OVMF_VARS.kept"  # its NVRAM from before a boot fault
_BOOT_FAULTS = ("no-boot", "wrong-boot")
_BY_NVRAM = {"net0": -1, "disk0": -1}
_NETWORK_FIRST = {"net0": 0, "disk0": 1}


class UefiMachine(QemuMachine):
    """Machine whose ``bootindex`` is set for its first boot and while a boot fault is on, else never."""

    def __init__(self, directory: str) -> None:
        super().__init__(directory)
        self._variables, self._kept = Path(self.file(VARIABLES)), Path(self.file(_KEPT))

    def power_on(self) -> None:
        if self.pid is None:
            super().power_on()
            # The firmware has read the order when QEMU answers; this one is that of later resets.
            self.boot_order_changed()

    def press_reset(self) -> None:
        if self._has_boot_fault() or (self.boot_device == "none" and not self._kept.exists()):
            super().press_reset()
        else:
            self.power_off()
            self.power_on()

    def start_order(self) -> dict[str, int]:
        """Write the BMC's order into the NVRAM, and return the ``bootindex`` of each device for this start.

        A machine that has never started has no entries yet. Its network comes first then, and so it does in
        the order that the firmware writes.
        """
        order = super().boot_order()
        if self._has_boot_fault():
            self._keep()
        else:
            if self._kept.exists():
                self._kept.replace(self._variables)
            if self._has_order_for_next_boot():
                order = _BY_NVRAM
        self.write_boot_device("none")
        return order

    def boot_order(self) -> dict[str, int]:
        """``bootindex`` of each device at the next reset of the machine, which runs."""
        if self._has_boot_fault():
            return super().boot_order()
        return _NETWORK_FIRST if self._kept.exists() else _BY_NVRAM

    def boot_order_changed(self) -> None:
        if self._has_boot_fault():
            self._keep()
        super().boot_order_changed()

    def _has_order_for_next_boot(self) -> bool:
        """Order the boot device of the BMC, if any, for the next boot; False where there are no entries."""
        try:
            nvram = Nvram(self._variables)
            network = nvram.network_entry()
            entry = nvram.disk_entry() if self.boot_device == "default" else network
            if network is None or entry is None:
                return False
            if self.boot_device != "none":
                nvram.boot_next(entry)
        except NvramError as error:
            raise Refused(str(error)) from error
        return True

    def _has_boot_fault(self) -> bool:
        return any(map(self.has_fault, _BOOT_FAULTS))

    def _keep(self) -> None:
        if not self._kept.exists():
            shutil.copyfile(self._variables, self._kept)
