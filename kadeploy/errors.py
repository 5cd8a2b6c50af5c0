# SPDX-License-Identifier: Apache-2.0
"""Tree of the errors that this project raises on purpose.

    KadeployError
    ├── UsageError            the command line cannot be obeyed                exit 2
    │   └── RequestError      fields of a request are wrong, or do not go together
    ├── RefusedError          rights, node in use, unsuitable environment      exit 3
    │   ├── FileError         errors found in files, with their positions
    │   └── NotFoundError     a node, environment, workflow or file is unknown
    ├── ServiceError          a service of ours or of the site does not work   exit 4
    └── NodeError             something failed on one node; ends as a ko node  exit 1
        ├── RemoteError       a command on the node failed or could not be run
        │   └── UnreachableError  the node does not answer, or its connection broke
        │       └── BrokenConnectionError  it broke while a command ran
        └── PowerError        the node could not be switched

An error is one sentence that names the thing, and a hint that says what to do about it. Neither knows how a
request came: both name its fields, and use cases, in backquotes, for which commands put their options.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from kadeploy.masking import masked

MAX_TOLD = 100  # problems of files that are told at once


class ExitStatus(IntEnum):
    """Exit status of the commands of this project."""

    OK = 0
    NODES_FAILED = 1
    USAGE = 2
    REFUSED = 3
    SERVICE = 4
    INTERRUPTED = 130


class KadeployError(Exception):
    """Error as one sentence about one thing; ``hint`` says what the reader may do."""

    status = ExitStatus.SERVICE

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = masked(message)
        self.hint = masked(hint)
        super().__init__(self.message)


class UsageError(KadeployError):
    """Command line that cannot be obeyed as it is written."""

    status = ExitStatus.USAGE


@dataclass(frozen=True, slots=True)
class RequestProblem:
    """Problem of a field of a request; fields in it are named with dots: ``environment.name``."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"`{self.field}`: {self.message}"


class RequestError(UsageError):
    """Problems of a request, all at once."""

    def __init__(self, problems: Sequence[RequestProblem], *, hint: str = "") -> None:
        super().__init__("; ".join(str(problem) for problem in problems), hint=hint)
        self.problems = tuple(problems)


class RefusedError(KadeployError):
    """Refusal of a request that is understood; nothing was touched."""

    status = ExitStatus.REFUSED


class NotFoundError(RefusedError):
    """Absence of a thing that was named."""


@dataclass(frozen=True, slots=True)
class FileProblem:
    """Problem of a file; line and column count from 1, 0 if the file has no such place."""

    path: str
    message: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}:{self.column}" if self.line else self.path
        return f"{place}: {self.message}"


class FileError(RefusedError):
    """Problems of one or more files, all at once."""

    def __init__(self, problems: Sequence[FileProblem], *, hint: str = "") -> None:
        lines = [str(problem) for problem in problems[:MAX_TOLD]]
        if len(problems) > MAX_TOLD:
            lines.append(f"and {len(problems) - MAX_TOLD} more")
        super().__init__("\n".join(lines), hint=hint)
        self.problems = tuple(problems)


class ServiceError(KadeployError):
    """Failure of a service (store, boot files, BMC gateway, network)."""


class NodeError(KadeployError):
    """Failure on one node; ``evidence`` holds the last lines that show it."""

    status = ExitStatus.NODES_FAILED

    def __init__(self, message: str, *, evidence: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.evidence = masked(evidence)


class RemoteError(NodeError):
    """Failure of a command on a node, or of reaching the node to run it."""


class UnreachableError(RemoteError):
    """Node that does not answer ssh, refuses it, or loses the connection: no command is to blame."""


class BrokenConnectionError(UnreachableError):
    """Loss of a connection while a command ran: the result of the command is unknown."""


class PowerError(NodeError):
    """Failure to switch a node, or to read its power state."""


def first_of(error: BaseException) -> BaseException:
    """The error itself, or the first one of the group that tasks have made of it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
