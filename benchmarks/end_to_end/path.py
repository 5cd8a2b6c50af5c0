# SPDX-License-Identifier: Apache-2.0
"""What the time of a deployment went into: the chain of steps that nothing in it could have shortened.

The last node to be ready had waited for its broadcast, and that for the last node to arrive: the path
goes through the first steps of the latter, the broadcast, and the last steps of the former. All its parts
together are the total.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kadeploy.vocabulary.deployment import SEND_ENVIRONMENT
from kadeploy.vocabulary.names import MACRO_STEP_NAMES

BOOTS = ("wait_reboot",)
ORDERS = ("switch_pxe", "reboot", "reboot_from_deploy_env")
DISK = ("create_partition_table", "format_deploy_part", "format_swap_part", "mount_deploy_part")
# What is left: programs that run on the node, from the post-installs over grub-install to the last umount.

ADDED = ("start", "orders", "boots", "broadcast", "between", "end")


@dataclass(frozen=True, slots=True)
class StepRun:
    """One run of a micro-step on a node; since the epoch and in seconds, without its wait for a window."""

    node: str
    macro: str
    micro: str
    started: float
    seconds: float

    @property
    def ended(self) -> float:
        return self.started + self.seconds


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Circumstances the lab simulates: seconds of each boot, bits per second of a link (inf: no limit).

    ``boot_bytes``: kernel and initrd of the miniOS, ``image_bytes``: the image as it is sent.
    """

    boot_delay: float
    rate: float
    boot_bytes: int
    image_bytes: int

    def boot_wire_of(self, boot: StepRun) -> float:
        """Seconds: only the miniOS comes over the network."""
        return 8 * self.boot_bytes / self.rate if boot.macro == MACRO_STEP_NAMES[0] else 0.0

    @property
    def image_wire(self) -> float:
        """Seconds."""
        return 8 * self.image_bytes / self.rate


@dataclass(frozen=True, slots=True)
class Span:
    """Something that kadeploy adds; since the epoch."""

    name: str
    started: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.started


@dataclass(frozen=True, slots=True)
class Path:
    """The runs on the path in their order, from ``began`` to ``ended``: the life of the command."""

    began: float
    ended: float
    runs: tuple[StepRun, ...]

    @property
    def total(self) -> float:
        return self.ended - self.began

    @property
    def last_node(self) -> str:
        """The node that was ready last."""
        return self.runs[-1].node

    def macro_seconds(self) -> dict[str, float]:
        """Seconds from the first step of each macro-step to that of the next; the last ends with its own."""
        starts = [next(run.started for run in self.runs if run.macro == macro) for macro in MACRO_STEP_NAMES]
        ends = [*starts[1:], self.runs[-1].ended]
        return {macro: end - start for macro, start, end in zip(MACRO_STEP_NAMES, starts, ends, strict=True)}

    def given(self, given: Circumstances) -> dict[str, float]:
        """Seconds of each part that no tool could do without."""
        boots = [run for run in self.runs if run.micro in BOOTS]
        broadcasts = sum(run.micro == SEND_ENVIRONMENT for run in self.runs)
        others = (*BOOTS, SEND_ENVIRONMENT, *ORDERS, *DISK)
        return {
            "boot delays": len(boots) * given.boot_delay,
            "wire": sum(map(given.boot_wire_of, boots)) + broadcasts * given.image_wire,
            "disk": sum(run.seconds for run in self.runs if run.micro in DISK),
            "programs": sum(run.seconds for run in self.runs if run.micro not in others),
        }

    def added(self, given: Circumstances) -> list[Span]:
        """All the rest, in its order; of a boot or the broadcast what comes behind delay and wire."""
        found, last = [], Span("start", self.began, self.runs[0].started)
        for run in self.runs:
            found.append(replace(last, ended=run.started))
            if run.micro in ORDERS:
                found.append(Span("orders", run.started, run.ended))
            elif run.micro in BOOTS:
                behind = run.started + given.boot_delay + given.boot_wire_of(run)
                found.append(Span("boots", behind, run.ended))
            elif run.micro == SEND_ENVIRONMENT:
                found.append(Span("broadcast", run.started + given.image_wire, run.ended))
            last = Span("between", run.ended, run.ended)
        return [*found, Span("end", last.started, self.ended)]


def path(runs: Sequence[StepRun], began: float, ended: float) -> Path:
    """The path through all runs of a deployment that has gone well on each node, at last."""
    ordered = sorted(runs, key=lambda run: run.started)
    last = max(ordered, key=lambda run: run.ended).node
    together = [run for run in ordered if run.micro == SEND_ENVIRONMENT]
    broadcast = [run for run in together if run.node == last][-1]
    cohort = {run.node for run in together if run.started == broadcast.started}
    before = [run for run in ordered if run.node in cohort and run.ended <= broadcast.started]
    awaited = max(before, key=lambda run: run.ended).node
    first_half = [run for run in before if run.node == awaited]
    second_half = [run for run in ordered if run.node == last and run.started >= broadcast.ended]
    return Path(began, ended, (*first_half, broadcast, *second_half))
