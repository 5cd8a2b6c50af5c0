# SPDX-License-Identifier: Apache-2.0
"""The lock files: what an installation gets, and that the tests run with the same versions of it."""

import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).parents[3]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
#: What the locks are made for, see CONTRIBUTING.
PYTHON = {"python_version": "3.11", "python_full_version": "3.11.2"}


def read_lock(name: str) -> dict[str, str]:
    """Packages of a lock file, each with its version and digests."""
    text = re.sub(r"(?m)^ *#.*\n", "", (CHECKOUT / name).read_text()).replace("\\\n", " ")
    entries = [line.split(maxsplit=1) for line in text.splitlines()]
    return {canonicalize_name(pin.split("==")[0]): f"{pin} {digests}" for pin, digests in entries}


def dependencies(package: str, extras: set[str]) -> Iterator[Requirement]:
    for text in metadata.requires(package) or []:
        requirement = Requirement(text)
        environments = [PYTHON | {"extra": extra} for extra in extras or {""}]
        if requirement.marker is None or any(map(requirement.marker.evaluate, environments)):
            yield requirement


def closure(requirements: list[str]) -> set[str]:
    """Names of the packages that these need, directly or not, by what the installed ones declare."""
    found: dict[str, set[str]] = {}
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in found or requirement.extras - found[name]:
            found.setdefault(name, set()).update(requirement.extras)
            waiting += dependencies(name, found[name])
    return set(found)


def test_an_installation_gets_what_runs_and_what_builds_it_and_nothing_else() -> None:
    wanted = closure(PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["build"])
    assert set(read_lock("requirements.lock")) == wanted


def test_tests_run_with_the_packages_of_an_installation() -> None:
    installed, development = read_lock("requirements.lock"), read_lock("requirements-dev.lock")
    assert {name: development.get(name) for name in installed} == installed


def test_the_development_lock_has_the_tools() -> None:
    tools = [text for text in PROJECT["dependency-groups"]["dev"] if isinstance(text, str)]
    assert {canonicalize_name(Requirement(text).name) for text in tools} <= set(
        read_lock("requirements-dev.lock")
    )


def test_the_build_group_is_the_build_system() -> None:
    build = [Requirement(text).name for text in PROJECT["dependency-groups"]["build"]]
    assert build == [Requirement(text).name for text in PROJECT["build-system"]["requires"]]
