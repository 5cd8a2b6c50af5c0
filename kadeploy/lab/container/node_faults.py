# SPDX-License-Identifier: Apache-2.0
"""Faults of a container node: their effects on its process and its firmware."""

from __future__ import annotations

from pathlib import Path

from kadeploy.lab.container.disk import Defect
from kadeploy.lab.faults import marks, values

SLOWNESS = 10  # times of the firmware of a node with the fault slow-boot
LAYERS = ("minios-hang", "mute-sshd")  # faults that are files in the miniOS, in a directory of that name


class NodeFaults:
    """Faults of the node of this directory, by their present marks."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _value(self, kind: str) -> str | None:
        return marks.value(self._directory, kind)

    def _has(self, kind: str) -> bool:
        return self._value(kind) is not None

    @property
    def is_unplugged(self) -> bool:
        return self._has("link-down")

    @property
    def rate(self) -> str:
        """Rate of the link, '' for the usual one."""
        return self._value("slow-link") or ""

    @property
    def defect(self) -> Defect:
        """Defect of the disk."""
        full = self._value("disk-full")
        return Defect(self._has("disk-read-only"), values.size(full) if full else None)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of directories whose files stand in the places of those of a miniOS."""
        return tuple(kind for kind in LAYERS if self._has(kind))

    @property
    def lost_requests(self) -> int:
        return values.number(self._value("lost-requests") or "0")

    def delay(self, seconds: float) -> float:
        """Seconds that the firmware takes, from those that it usually takes."""
        late = self._value("late-boot")
        return seconds * (SLOWNESS if self._has("slow-boot") else 1) + (values.seconds(late) if late else 0)

    def order(self, usual: tuple[str, ...]) -> tuple[str, ...]:
        """Devices that the firmware tries, in order."""
        if self._has("no-boot"):
            return ()
        return ("disk",) if self._has("wrong-boot") else usual

    def firmware_hangs(self) -> bool:
        """True if this boot hangs; otherwise counts the good boot in the mark."""
        boots = self._value("firmware-hang")
        if boots is None:
            return False
        left = values.number(boots or "0")
        if left:
            marks.write(self._directory, "firmware-hang", str(left - 1))
        return not left
