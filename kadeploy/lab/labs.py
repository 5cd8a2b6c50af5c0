# SPDX-License-Identifier: Apache-2.0
"""Labs of this machine: names, state directories, locks and plans.

``ROOT/NAME`` is the state directory of a lab, or a symbolic link to it if the user has named another one.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

from kadeploy.errors import RefusedError
from kadeploy.lab.plan import ROOT, LabPlan, from_json

LOCKS = Path("/run/kalab")
LOCK_SECONDS = 10.0


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Lock against another command that makes or takes down this lab; raises RefusedError after 10 s.

    A child inherits the lock until it executes its program (``processes.launch``).
    """
    LOCKS.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + LOCK_SECONDS
    with (LOCKS / f"{name}.lock").open("w", encoding="ascii") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RefusedError(
                        f"another kalab is making or taking down lab '{name}'",
                        hint="wait for it, or end it with Ctrl-C there",
                    ) from None
                time.sleep(0.05)
        yield


def register(name: str, state: Path) -> None:
    """Make the state directory of a lab, which only root may read, and its entry below ROOT."""
    ROOT.mkdir(parents=True, exist_ok=True)
    link = ROOT / name
    if state != link:
        link.unlink(missing_ok=True)
        link.symlink_to(state)
    state.mkdir(parents=True, mode=0o700, exist_ok=True)


def forget(name: str) -> None:
    """Undo ``register`` after the state directory was removed."""
    link = ROOT / name
    if link.is_symlink():
        link.unlink()


def state_of(name: str) -> Path | None:
    """State directory of a lab, None if there is no lab of this name."""
    link = ROOT / name
    if link.is_symlink():
        return link.readlink()
    return link if link.is_dir() else None


def names() -> list[str]:
    """Names of all labs of this machine, also of those that did not come up."""
    return sorted(path.name for path in ROOT.iterdir()) if ROOT.is_dir() else []


def save_plan(plan: LabPlan) -> None:
    """Write the plan of a lab into its state directory, atomically."""
    temporary = plan.state / "lab.json.new"
    temporary.write_text(plan.to_json(), encoding="utf-8")
    temporary.rename(plan.state / "lab.json")


def load_plan(state: Path) -> LabPlan | None:
    """Plan of the lab in a state directory; None if ``kalab up`` ended before it was written."""
    try:
        return from_json((state / "lab.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
