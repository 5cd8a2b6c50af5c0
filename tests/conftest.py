# SPDX-License-Identifier: Apache-2.0
"""What holds for all tests: slow ones last, and in continuous integration none is skipped."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

LAB_TOOLS = ("qemu-system-x86_64", "dnsmasq", "ipmi_sim", "ipmitool", "ssh")
IN_CI = os.environ.get("CI") == "true"


def pytest_configure() -> None:
    """A background job of a shell ignores SIGINT, and so would all that tests start and interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# A change is judged by the same cases each time; new ones are looked for elsewhere, and by night:
# bin/test tests/unit/workflow --hypothesis-profile=nightly
settings.register_profile("usual", derandomize=IN_CI)
settings.register_profile("nightly", max_examples=10_000, deadline=None)
settings.load_profile("usual")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A defect that a fast test can see is seen before any machine is booted."""
    items.sort(key=boots_machines)


def boots_machines(item: pytest.Item) -> bool:
    """Whether a test needs a lab."""
    return any(item.get_closest_marker(marker) for marker in ("lab", "fleet"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if boots_machines(item) and (reason := lab_obstacle()):
        pytest.skip(reason)
    if item.get_closest_marker("fleet") and not os.access("/dev/loop-control", os.R_OK | os.W_OK):
        pytest.skip("/dev/loop-control cannot be opened: container nodes have no disks")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that is skipped where everything can be installed hides a defect."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"not run, which CI does not allow: {reason}"
    return report


@functools.cache
def lab_obstacle() -> str:
    """Why no lab can be made on this machine; '' if one can."""
    if os.geteuid() != 0:
        return "a lab needs root"
    missing = [tool for tool in LAB_TOOLS if shutil.which(tool) is None]
    if missing:
        return f"missing programs: {', '.join(missing)}"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun cannot be opened: no machine can be given a network card"
    if not Path("/proc/self/ns/net").exists():
        return "this kernel has no network namespaces"
    made = subprocess.run(
        ["unshare", "--net", "--mount", "true"], capture_output=True, text=True, check=False
    )
    return f"no network namespace can be made: {made.stderr.strip()}" if made.returncode else ""
