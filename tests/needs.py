# SPDX-License-Identifier: Apache-2.0
"""What a test needs of the machine and of the checkout: programs, root, images that were built.

``bin/test`` installs and builds what the selected tests need, and ``bin/check`` names what is missing; both
ask by ``--needs``. A test that lacks something is skipped, which in continuous integration is a failure.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

MACHINES = ("lab", "fleet")  # markers
LAB_PROGRAMS = ("dnsmasq", "ipmi_sim", "ipmitool", "ssh")
FIXTURES = {"sshd": ("sshd", "ps"), "bmc": ("ipmi_sim", "ipmitool")}  # what they run
PLACES = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))


def boots_machines(item: pytest.Item) -> bool:
    """Say whether a test needs a lab."""
    return any(item.get_closest_marker(marker) for marker in MACHINES)


def needs_root(item: pytest.Item) -> bool:
    """Say whether only root can do what a test does, by its marker ``root`` or what it uses."""
    sshd = "sshd" in getattr(item, "fixturenames", ())  # for the sessions of its users
    return boots_machines(item) or sshd or item.get_closest_marker("root") is not None


def programs(item: pytest.Item) -> set[str]:
    """Programs and files that a test names in its marker ``needs``, or that its fixtures start."""
    named = {name for marker in item.iter_markers("needs") for name in marker.args}
    fixtures: Iterable[str] = getattr(item, "fixturenames", ())
    return named.union(*(FIXTURES.get(fixture, ()) for fixture in fixtures))


def images(item: pytest.Item) -> set[str]:
    """Images that a test deploys, by its marker ``deploys``; the miniOS is one of them."""
    marker = item.get_closest_marker("deploys")
    return {"deploy-env", *marker.args} if marker else set()


def report(items: list[pytest.Item]) -> Iterator[str]:
    """Lines of ``--needs``: a kind of need and a name; for a part of the tests their number, too."""
    machines = [item for item in items if boots_machines(item)]
    yield f"part fast {len(items) - len(machines)}"
    yield f"part machines {len(machines)}"
    if os.geteuid() != 0:
        items = [item for item in items if not needs_root(item)]  # the others are skipped
    markers = {marker for item in items for marker in MACHINES if item.get_closest_marker(marker)}
    for name in sorted(markers.union(*map(programs, items))):
        yield f"package {name}"
    for name in sorted(set().union(*map(images, items))):
        yield f"image {name}"


def obstacle(item: pytest.Item) -> str:
    """Say why a test cannot run here; '' if it can."""
    if os.geteuid() != 0 and needs_root(item):
        return "needs root"
    if missing := sorted(name for name in programs(item) if not found(name)):
        return f"needs {', '.join(missing)}"
    if boots_machines(item) and (reason := lab_obstacle()):
        return reason
    if item.get_closest_marker("lab") and not found("qemu-system-x86_64"):
        return "needs qemu-system-x86_64"
    if missing := [name for name in sorted(images(item)) if not built(name)]:
        return f"not built: {', '.join(missing)}; bin/test builds it"
    if item.get_closest_marker("fleet") and not os.access("/dev/loop-control", os.R_OK | os.W_OK):
        return "/dev/loop-control cannot be opened: container nodes have no disks"
    return ""


def built(image: str) -> bool:
    """Say whether an image was built in this checkout."""
    build = Path(__file__).parents[1] / "build"
    return (
        build / "deploy-env/initrd" if image == "deploy-env" else build / f"environments/{image}.yaml"
    ).exists()


@functools.cache
def found(name: str) -> bool:
    """Say whether there is such a program, or such a file where the name is a path."""
    return Path(name).exists() if name.startswith("/") else shutil.which(name, path=PLACES) is not None


@functools.cache
def lab_obstacle() -> str:
    """Say why no lab can be made on this machine; '' if one can."""
    if missing := [name for name in LAB_PROGRAMS if not found(name)]:
        return f"needs {', '.join(missing)}"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun cannot be opened: no machine can be given a network card"
    if not Path("/proc/self/ns/net").exists():
        return "this kernel has no network namespaces"
    made = subprocess.run(
        ["unshare", "--net", "--mount", "true"], capture_output=True, text=True, check=False
    )
    return f"no network namespace can be made: {made.stderr.strip()}" if made.returncode else ""
