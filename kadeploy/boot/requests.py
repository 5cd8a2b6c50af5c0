# SPDX-License-Identifier: Apache-2.0
"""Requests of machines for boot files, as they are logged: evidence for a machine that does not come back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

OTHERS = "others"  # directory of the requests of clients that are no nodes
OLDER = ".older"  # of the name of the older file of a client

Protocol = Literal["http", "tftp"]
Method = Literal["GET", "HEAD"]


@dataclass(frozen=True, slots=True)
class BootFileRequest:
    """Finished request for a boot file.

    ``time``: when it ended, UTC; ``status``: HTTP's, also for TFTP (200, 404, 403), 499 where the client
    went away before the end; ``bytes``: of the file's content; ``seconds``: from request to end;
    ``method``: HEAD only asks about a file, GET (also for TFTP) fetches it; ``left_out``: requests of the
    same client before it that were too many to be logged.
    """

    time: datetime
    protocol: Protocol
    client: str
    path: str
    status: int
    bytes: int
    seconds: float
    method: Method = "GET"  # as of lines written before HEAD was told apart
    left_out: int = 0

    @property
    def fetches(self) -> bool:
        """True for a request for the content."""
        return self.method == "GET"

    def to_json(self) -> str:
        """JSON text in one line, without its end."""
        time = self.time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields = {**asdict(self), "time": time}
        if not self.left_out:
            del fields["left_out"]
        return json.dumps(fields)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Request from a line of to_json; raises ValueError."""
        fields = json.loads(line)
        try:
            return cls(**fields | {"time": datetime.fromisoformat(fields["time"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"no request: {error}") from error

    def __str__(self) -> str:
        took = f"{self.bytes} bytes in {self.seconds:.1f} s"
        what = self.path if self.fetches else f"{self.method} {self.path}"
        before = f" (and {self.left_out} before it that are not listed)" if self.left_out else ""
        return f"{self.time:%H:%M:%S} {self.protocol} {what}: {self.status}, {took}{before}"


def log_path(repository: Path) -> Path:
    """Directory of the log of a boot repository; beside it, as all files in the repository are served."""
    return repository.parent / "requests"


def older(path: Path) -> Path:
    """Path of the older file of a client."""
    return path.with_name(path.name + OLDER)


def requests_of(repository: Path, address: str, since: datetime) -> list[BootFileRequest]:
    """Requests of a machine since then, oldest first; no others are read.

    A node that is new in clusters.conf is no node to a boot server that was started before.
    """
    directory = log_path(repository)
    paths = (directory / OTHERS / address, directory / address)
    # The newer file first: it may become the older one meanwhile, and what was read twice counts once.
    found = [request for path in paths for file in (path, older(path)) for request in _read(file)]
    wanted = dict.fromkeys(one for one in found if one.time >= since and one.client == address)
    return sorted(wanted, key=lambda one: one.time)


def _read(path: Path) -> list[BootFileRequest]:
    found = []
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            found.append(BootFileRequest.from_json(line))
        except ValueError:
            continue  # the part of a line that was written when the disk was full or the power went
    return found
