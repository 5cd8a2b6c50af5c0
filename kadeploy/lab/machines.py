# SPDX-License-Identifier: Apache-2.0
"""Machines by their directories, of the classes of their kinds; standard library only, for BMCs import it."""

from __future__ import annotations

from pathlib import Path

from kadeploy.lab.machine import Machine, read_plan


def machine_in(directory: Path) -> Machine:
    """Machine that the driver of a lab has prepared in this directory."""
    plan = read_plan(directory)
    if plan["driver"] == "container":
        from kadeploy.lab.container.machine import ContainerMachine

        return ContainerMachine(str(directory))
    if plan.get("firmware") == "uefi":
        from kadeploy.lab.qemu.uefi_machine import UefiMachine

        return UefiMachine(str(directory))
    from kadeploy.lab.qemu.machine import QemuMachine

    return QemuMachine(str(directory))
