# SPDX-License-Identifier: Apache-2.0
"""The machine of a directory, as its driver knows it; standard library only, for a BMC asks each time."""

from __future__ import annotations

from pathlib import Path

from kadeploy.lab.machine import Machine, read_plan


def of(directory: Path) -> Machine:
    """The machine that its lab's driver has prepared in this directory."""
    if read_plan(directory)["driver"] == "container":
        from kadeploy.lab.container.machine import ContainerMachine

        return ContainerMachine(str(directory))
    from kadeploy.lab.qemu.machine import QemuMachine

    return QemuMachine(str(directory))
