# SPDX-License-Identifier: Apache-2.0
"""The cases of tests/data/steps: what is given, what the node answers, and what must come of it.

Values of one run, such as the port of the node, are written as ``<port>`` in a case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "data" / "steps"
SITES: dict[str, Any] = yaml.safe_load((FOLDER / "sites.yaml").read_text())


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run of one micro-step on node-1.

    Given: ``site`` is one of sites.yaml, ``given`` changes it, ``files`` are those of its configuration
    directory. ``step`` is INSTANCE.STEP of the catalogue, or ``custom`` an operation of the user's. ``node``
    are the NodeFacts before, ``boots`` is the text of the order to boot before, ``order`` all of it.
    ``looks``: what listens at the node's ssh port at each look (closed, mute, or the names of its host keys),
    the last one from then on. ``asked``: the boot files that it has fetched, None where nobody logs them.
    ``broken_off``: the step would not end.

    Expected: ``does``, see recorded.py; ``orders`` to the site's power program; ``boots_then``, the text of
    the order afterwards; ``told``, the warnings; and, where the node fails, ``fails``: says, cause, evidence.
    """

    name: str
    step: str = ""
    custom: Mapping[str, Any] | None = None
    site: str = "bios"
    given: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    attempt: int = 0
    node: Mapping[str, Any] = field(default_factory=dict)
    boots: str | None = None
    order: Mapping[str, Any] | None = None
    looks: list[str] = field(default_factory=list)
    asked: list[Mapping[str, Any]] | None = None
    broken_off: bool = False
    does: list[dict[str, Any]] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)
    boots_then: str | None = None
    told: list[str] = field(default_factory=list)
    fails: Mapping[str, Any] | None = None

    @property
    def instance(self) -> str:
        return self.step.partition(".")[0]

    def with_values(self, values: Mapping[str, str]) -> Case:
        """The case with the values of this run in it."""
        return Case(**{item.name: filled(getattr(self, item.name), values) for item in fields(self)})


def filled(value: Any, values: Mapping[str, str]) -> Any:
    """The same, with each ``<name>`` replaced."""
    match value:
        case str():
            for name, text in values.items():
                value = value.replace(f"<{name}>", text)
            return value
        case Mapping():
            return {key: filled(item, values) for key, item in value.items()}
        case list() | tuple():
            return type(value)(filled(item, values) for item in value)
        case _:
            return value


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping with changes at any depth of it."""
    both = {key: merged(base[key], value) for key, value in changes.items() if _nested(base, key, value)}
    return {**base, **changes, **both}


def _nested(base: Mapping[str, Any], key: str, value: object) -> bool:
    return isinstance(value, Mapping) and isinstance(base.get(key), Mapping)


def facts_of(site: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a site of sites.yaml with changes."""
    return merged(SITES[site], given)


def entries(name: str) -> list[Any]:
    """The cases of one file, as parameters of a test."""
    found = yaml.safe_load((FOLDER / name).read_text())
    return [pytest.param(entry, id=f"{Path(name).stem}: {entry['name']}") for entry in found]


def micro_steps() -> list[Any]:
    """All the files of micro-steps, as parameters of a test."""
    files = sorted(path.relative_to(FOLDER) for path in (FOLDER / "micro_steps").glob("*.yaml"))
    return [
        pytest.param(Case(**parameter.values[0]), id=parameter.id)
        for file in files
        for parameter in entries(str(file))
    ]
