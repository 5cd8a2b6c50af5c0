# SPDX-License-Identifier: Apache-2.0
"""Machines by their directories, of the class of their driver; standard library only, for BMCs import it."""

from __future__ import annotations

from pathlib import Path

from kadeploy.lab.machine import Machine, read_plan


def machine_in(directory: Path) -> Machine:
    """Machine that the driver of a lab has prepared in this directory."""
    if read_plan(directory)["driver"] == "container":
        from kadeploy.lab.container.machine import ContainerMachine

        return ContainerMachine(str(directory))
    from kadeploy.lab.qemu.machine import QemuMachine

    return QemuMachine(str(directory))
