# SPDX-License-Identifier: Apache-2.0
"""What the time of a deployment went into: the chain of steps that nothing in it could have shortened.

The last node to be ready had waited for the broadcast, and that for the last node to arrive: the path
goes through the first steps of the latter, the broadcast, and the last steps of the former. All its parts
together are the total.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MACROS = ("SetDeploymentEnv", "BroadcastEnv", "BootNewEnv")
TOGETHER = "send_environment"
BOOTS = ("wait_reboot",)
ORDERS = ("switch_pxe", "reboot", "reboot_from_deploy_env")
DISK = ("create_partition_table", "format_deploy_part", "format_swap_part", "mount_deploy_part")
# What is left: programs that run on the node, from the post-installs over grub-install to the last umount.

# Parts of the path that no tool could do without; the others are what this one adds.
GIVEN = ("boot delays", "wire", "disk", "programs")


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
    """What the lab was told to simulate: seconds of each boot, bits per second of each link (inf: no limit).

    ``boot_bytes``: kernel and initrd of the miniOS, ``image_bytes``: the image as it is sent.
    """

    boot_delay: float
    rate: float
    boot_bytes: int
    image_bytes: int


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
        """From the first step of each macro-step to that of the next; the last one ends with its steps."""
        starts = [next(run.started for run in self.runs if run.macro == macro) for macro in MACROS]
        ends = [*starts[1:], self.runs[-1].ended]
        return {macro: end - start for macro, start, end in zip(MACROS, starts, ends, strict=True)}

    def parts(self, given: Circumstances) -> dict[str, float]:
        """Seconds of each part; what a wait or the broadcast takes beyond delay and wire is its own part."""
        boots = _seconds(self.runs, BOOTS)
        broadcast = _seconds(self.runs, (TOGETHER,))
        delays = given.boot_delay * sum(run.micro in BOOTS for run in self.runs)
        boot_wire, image_wire = 8 * given.boot_bytes / given.rate, 8 * given.image_bytes / given.rate
        named = (*BOOTS, TOGETHER, *ORDERS, *DISK)
        spent = sum(run.seconds for run in self.runs)
        start, end = self.runs[0].started - self.began, self.ended - self.runs[-1].ended
        return {
            "boot delays": delays,
            "wire": boot_wire + image_wire,
            "disk": _seconds(self.runs, DISK),
            "programs": sum(run.seconds for run in self.runs if run.micro not in named),
            "start": start,
            "orders": _seconds(self.runs, ORDERS),
            "boots": boots - delays - boot_wire,
            "broadcast": broadcast - image_wire,
            "between": self.total - spent - start - end,
            "end": end,
        }


def own(parts: dict[str, float]) -> float:
    """What the tool adds, at most: all that is not given."""
    return sum(seconds for name, seconds in parts.items() if name not in GIVEN)


def path(runs: Sequence[StepRun], began: float, ended: float) -> Path:
    """The path through all runs of a deployment that has gone well on each node."""
    ordered = sorted(runs, key=lambda run: run.started)
    last = max(ordered, key=lambda run: run.ended).node
    broadcast = [run for run in ordered if run.node == last and run.micro == TOGETHER][-1]
    cohort = {run.node for run in ordered if run.micro == TOGETHER and run.started == broadcast.started}
    before = [run for run in ordered if run.node in cohort and run.ended <= broadcast.started]
    awaited = max(before, key=lambda run: run.ended).node
    first_half = [run for run in before if run.node == awaited]
    second_half = [run for run in ordered if run.node == last and run.started >= broadcast.ended]
    return Path(began, ended, (*first_half, broadcast, *second_half))


def _seconds(runs: Sequence[StepRun], names: Sequence[str]) -> float:
    return sum(run.seconds for run in runs if run.micro in names)
