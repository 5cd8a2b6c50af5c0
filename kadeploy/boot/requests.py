# SPDX-License-Identifier: Apache-2.0
"""Log of boot files that machines fetched: evidence for a machine that does not come back."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

MAX_LOG_BYTES = 10_000_000  # one older file of this size is kept beside it
_BLOCK = 64 * 1024
_SAMPLE = 100  # one in so many lines of other clients is decoded, to see whether it is old enough to stop

Protocol = Literal["http", "tftp"]
Method = Literal["GET", "HEAD"]


@dataclass(frozen=True, slots=True)
class BootFileRequest:
    """Finished request for a boot file.

    ``time``: when it ended, UTC; ``status``: HTTP's, also for TFTP (200, 404, 403), 499 where the client
    went away before the end; ``bytes``: of the file's content; ``seconds``: from request to end;
    ``method``: HEAD only asks about a file, GET (also for TFTP) fetches it.
    """

    time: datetime
    protocol: Protocol
    client: str
    path: str
    status: int
    bytes: int
    seconds: float
    method: Method = "GET"  # as of lines written before HEAD was told apart

    @property
    def fetches(self) -> bool:
        """True for a request for the content."""
        return self.method == "GET"

    def to_json(self) -> str:
        """JSON text in one line, without its end."""
        time = self.time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return json.dumps(asdict(self) | {"time": time})

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
        return f"{self.time:%H:%M:%S} {self.protocol} {what}: {self.status}, {took}"


def log_path(repository: Path) -> Path:
    """Log of a boot repository; beside it, as all files in the repository are served."""
    return repository.parent / "requests.jsonl"


class RequestLog:
    """Writer of the log of one repository; safe to use from several threads of one process."""

    def __init__(self, path: Path, max_bytes: int = MAX_LOG_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._lock = threading.Lock()

    def append(self, request: BootFileRequest) -> None:
        """Write one request; raises OSError."""
        line = f"{request.to_json()}\n".encode()
        with self._lock:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(descriptor, line)
                full = os.fstat(descriptor).st_size >= self._max_bytes
            finally:
                os.close(descriptor)
            if full:
                self._path.replace(_older(self._path))


def requests_of(repository: Path, address: str, since: datetime) -> list[BootFileRequest]:
    """Requests of a machine since then, oldest first; reads the log from its end only as far as needed."""
    found: list[BootFileRequest] = []
    path, mark = log_path(repository), f'"client": {json.dumps(address)}'
    lines = (line for file in (path, _older(path)) for line in _lines_from_end(file))
    for number, line in enumerate(lines):
        if mark not in line and number % _SAMPLE:
            continue
        try:
            request = BootFileRequest.from_json(line)
        except ValueError:
            continue  # the part of a line that was written when the disk was full or the power went
        if request.time < since:
            break
        if request.client == address:
            found.append(request)
    return found[::-1]


def _older(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")


def _lines_from_end(path: Path) -> Iterator[str]:
    try:
        reader = path.open("rb")
    except FileNotFoundError:
        return
    with reader:
        position = reader.seek(0, os.SEEK_END)
        rest = b""
        while position:
            step = min(_BLOCK, position)
            position -= step
            reader.seek(position)
            rest, *lines = (reader.read(step) + rest).split(b"\n")
            yield from (line.decode(errors="replace") for line in reversed(lines) if line)
        if rest:
            yield rest.decode(errors="replace")
