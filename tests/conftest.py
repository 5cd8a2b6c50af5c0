# SPDX-License-Identifier: Apache-2.0
"""Which tests are selected and in which order, and that continuous integration skips none."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from . import needs, nightly

IN_CI = os.environ.get("CI") == "true"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("kadeploy")
    group.addoption("--part", choices=("fast", "machines"), help="only tests that boot no machines, or do")
    group.addoption("--needs", type=Path, metavar="FILE", help="write down what the selected tests need")
    group.addoption("--nightly", action="store_true", help="the nightly profile")
    group.addoption(
        "--passed", type=Path, metavar="FILE", help="leave out tests noted here; note those that pass"
    )


def pytest_configure(config: pytest.Config) -> None:
    # A background job of a shell ignores SIGINT, and so would all that tests start and interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # A change is judged by the same cases each time; new ones are looked for by night. An example has no
    # deadline: how long one takes on a busy machine says nothing of the code.
    settings.register_profile("usual", derandomize=IN_CI, deadline=None)
    settings.load_profile("usual")
    if config.getoption("nightly"):
        nightly.use_profile()
    passed = config.getoption("passed")
    if passed and not hasattr(config, "workerinput"):
        config.pluginmanager.register(nightly.Passed(passed))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Select; fast tests come first: a defect that they can see is seen before any machine is booted."""
    before = list(items)
    if config.getoption("nightly"):
        nightly.select(items)
    if passed := config.getoption("passed"):
        nightly.Passed(passed).skip(items)
    if part := config.getoption("part"):
        items[:] = [item for item in items if needs.boots_machines(item) == (part == "machines")]
    items.sort(key=needs.boots_machines)
    kept = set(items)
    config.hook.pytest_deselected(items=[item for item in before if item not in kept])


def pytest_collection_finish(session: pytest.Session) -> None:
    if file := session.config.getoption("needs"):
        file.write_text("".join(f"{line}\n" for line in needs.report(session.items)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if reason := needs.obstacle(item):
        pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that is skipped where everything can be installed hides a defect."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"not run, which CI does not allow: {reason}"
    return report


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """A directory for sockets and labs, whose paths have limits that ``tmp_path`` may exceed."""
    with tempfile.TemporaryDirectory(prefix="k-", dir="/tmp") as directory:
        yield Path(directory)
