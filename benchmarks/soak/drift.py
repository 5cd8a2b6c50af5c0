# SPDX-License-Identifier: Apache-2.0
"""Whether something grows from one deployment to the next, once everything has been loaded and cached.

The deployments behind the third one, and it, are cut into an earlier and a later half. Something has grown
where its least value in the later half is above its greatest in the earlier one, by more than a tolerance:
what goes up and down again does not, and what leaks a little each time does in any case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SETTLED = 3  # the deployment from which on nothing is to grow
# What the allocator of the C library keeps or not is some 1 % of the memory of a process.
MEMORY_TOLERANCE = 0.01
EXPECTED = ("database MB",)  # it keeps what was done, and is to grow


@dataclass(frozen=True, slots=True)
class Drift:
    """Drift of one resource: its value before the first deployment, after the third and after the last.

    ``each`` is by how much it has grown in each deployment of the later half, None where there are too few.
    """

    before: float
    settled: float
    last: float
    grew: bool
    each: float | None


def drift(values: Sequence[float], tolerance: float = 0.0) -> Drift:
    """``values``: before the first deployment, and after each."""
    settled = values[SETTLED:]
    if len(settled) < 2:
        return Drift(values[0], values[-1], values[-1], grew=False, each=None)
    half = len(settled) // 2
    earlier, later = settled[:half], settled[half:]
    grew = min(later) > max(earlier) * (1 + tolerance)
    each = (later[-1] - earlier[-1]) / len(later)
    return Drift(values[0], settled[0], settled[-1], grew, each)


def drifts(held: Sequence[Mapping[str, float]]) -> dict[str, Drift]:
    """Drifts by the names of the resources."""
    return {
        name: drift([values[name] for values in held], MEMORY_TOLERANCE if name == "RSS MB" else 0.0)
        for name in held[0]
    }


def leaks(found: Mapping[str, Drift]) -> list[str]:
    """Names of the resources that have grown and should not have."""
    return [name for name, one in found.items() if one.grew and name not in EXPECTED]


def lines(rows: Sequence[Mapping[str, Any]], found: Mapping[str, Drift]) -> Iterator[str]:
    """A line for each resource; those of the deployments are said meanwhile."""
    seconds = sorted(row["seconds"] for row in rows[1:])
    yield f"{len(seconds)} deployments of {seconds[0]:.1f} to {seconds[-1]:.1f} s"
    yield f"{'':<24}{'before':>10}{'third':>10}{'last':>10}{'each':>10}  grew"
    for name, one in found.items():
        form = ".1f" if name.endswith("MB") else ".0f"
        columns = "".join(f"{value:>10{form}}" for value in (one.before, one.settled, one.last))
        yield f"{name:<24}{columns}{_shown(one)}"


def _shown(one: Drift) -> str:
    if one.each is None:
        return f"{'':>10}  too few deployments to tell"
    return f"{one.each:>+10.2f}  {'yes' if one.grew else 'no'}"
