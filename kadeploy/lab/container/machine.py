# SPDX-License-Identifier: Apache-2.0
"""Container nodes as machines of a BMC.

Standard library only: this is started anew for each command of a BMC.
"""

from __future__ import annotations

import signal

from kadeploy.lab import processes
from kadeploy.lab.machine import Machine, read_plan

RESET, POWER_BUTTON = signal.SIGUSR1, signal.SIGUSR2
SYSTEM_RECORD = "system.pid"  # the first process of the system that runs


class ContainerMachine(Machine):
    """Machine whose buttons are signals; its firmware reads boot device and faults when it starts."""

    def power_off(self) -> None:
        """End the machine's process, and wait for the end of the system, which dies with it."""
        super().power_off()
        processes.stop(self.file(SYSTEM_RECORD), state=read_plan(self.directory)["state"], grace=0)

    def start_arguments(self) -> list[str]:
        return []

    def press_reset(self) -> None:
        processes.send(self.record, RESET)

    def press_power(self) -> None:
        processes.send(self.record, POWER_BUTTON)

    def boot_order_changed(self) -> None:
        """Do nothing: the firmware reads the boot order when it starts."""
