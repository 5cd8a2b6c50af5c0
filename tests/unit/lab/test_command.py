# SPDX-License-Identifier: Apache-2.0
"""kalab as a command: quick to answer, and clear about what it refuses."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kadeploy.cli.kalab_fault import fault
from kadeploy.lab.faults.kinds import FAULTS

RUN = [sys.executable, "-c", "from kadeploy.cli.kalab import main; main()"]


def kalab(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *arguments], capture_output=True, text=True, timeout=30, check=False)


def test_help_needs_nothing_slow() -> None:
    slow = "{'pyroute2', 'pydantic', 'ClusterShell', 'asyncio', 'kadeploy.lab.cluster'}"
    code = f"import sys, kadeploy.cli.kalab; print({slow} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_help_of_fault_names_every_kind() -> None:
    shown = (fault.help or "").partition("container nodes")
    for kind, meaning in FAULTS.items():
        part = shown[0] if "qemu" in meaning.drivers else shown[2]
        assert f"  {meaning.usage(kind):<25} {meaning.meaning}\n" in part


def test_the_page_of_the_lab_names_every_fault() -> None:
    page = (Path(__file__).parents[3] / "docs/users/lab.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z][a-z-]+)\b.*? \| (all|container) \|", page, flags=re.MULTILINE))
    assert rows == {kind: "all" if "qemu" in it.drivers else "container" for kind, it in FAULTS.items()}


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("up", "-n", "many"), 2, "not a valid integer"),
        (("up", "--name", "../x"), 2, "no name for a lab"),
        (("up", "--disk", "4GB"), 2, "'4GB' is no size"),
        (("up", "--disk", "sata"), 2, "'sata' is no kind of disk"),
        (("up", "--firmware", "coreboot"), 2, "'coreboot' is no kind of firmware"),
        (("up", "-n", "2", "--firmware", "uefi:node-[2-3]"), 2, "the lab has no node 'node-3'"),
        (("up", "--firmware", "uefi", "--pxe", "pxelinux"), 2, "BIOS only"),
        (("up", "--driver", "container", "--firmware", "uefi"), 2, "container nodes have a BIOS"),
        (("up", "--driver", "container", "--disk", "nvme"), 2, "disks of one kind"),
        (("up", "--driver", "container", "--boot-spread", "9"), 2, "more than --boot-delay"),
        (("up", "--driver", "container", "--rate", "fast"), 2, "'fast' is no rate"),
        pytest.param(("up", "--deploy-env", "/nonexistent"), 3, "has no vmlinuz", marks=pytest.mark.root),
        pytest.param(
            ("status", "--name", "never-made"), 3, "lab 'never-made' is not up", marks=pytest.mark.root
        ),
        (("power", "node-1", "explode"), 2, "explode"),
        (("fault",), 2, "give either NODES KIND on|off, or --plan, or --mend"),
        (("fault", "node-1", "no-boot"), 2, "give NODES KIND on|off"),
        (("fault", "node-1", "no-boot", "maybe"), 2, "give NODES KIND on|off"),
        (("fault", "node-1", "no-boot", "on", "--mend"), 2, "give either"),
        (("fault", "--mend", "--seed", "1"), 2, "--seed and --json go with --plan"),
        pytest.param(
            ("fault", "--mend", "--name", "never-made"),
            3,
            "lab 'never-made' is not up",
            marks=pytest.mark.root,
        ),
    ],
)
def test_refusals(arguments: tuple[str, ...], status: int, message: str, short_directory: Path) -> None:
    where = ("--state-dir", str(short_directory / "x")) if arguments[0] == "up" else ()
    done = kalab(*arguments[:1], *where, *arguments[1:])
    assert done.returncode == status
    assert message in done.stderr
    assert done.stdout == ""
    assert not (short_directory / "x").exists()
