# SPDX-License-Identifier: Apache-2.0
"""Errors as documents: what a server answers where it refuses or fails, and the client raises again."""

from __future__ import annotations

from kadeploy import errors
from kadeploy.errors import ExitStatus, FileError, FileProblem, KadeployError, NodeError, RequestError
from kadeploy.service.views.view import View

DEFECT = "defect"  # code of an error that is none of ours
UNKNOWN_ROUTE = "unknown-route"
UNKNOWN_FIELD = "unknown-field"

# Classes by their codes, with the statuses of HTTP. What is derived of one elsewhere travels as that one.
CLASSES: dict[str, tuple[type[KadeployError], int]] = {
    "usage": (errors.UsageError, 400),
    "request": (errors.RequestError, 400),
    "refused": (errors.RefusedError, 403),
    "file": (errors.FileError, 422),
    "not-found": (errors.NotFoundError, 404),
    "service": (errors.ServiceError, 503),
    "node": (errors.NodeError, 502),
    "remote": (errors.RemoteError, 502),
    "unreachable": (errors.UnreachableError, 502),
    "broken-connection": (errors.BrokenConnectionError, 502),
    "power": (errors.PowerError, 502),
}
_CODES = {error: code for code, (error, _) in CLASSES.items()}
_BASES: dict[int, type[KadeployError]] = {
    ExitStatus.USAGE: errors.UsageError,
    ExitStatus.REFUSED: errors.RefusedError,
    ExitStatus.NODES_FAILED: errors.NodeError,
}


class ProblemView(View):
    """Problem of a field of a request, or of a place in a file; line and column count from 1, 0 for none."""

    message: str
    field: str = ""
    path: str = ""
    line: int = 0
    column: int = 0


class ErrorView(View):
    """Error of a ``code``: one sentence, a hint, and the exit ``status`` of a command that ends by it.

    ``problems`` are those of the fields of a request, or of files, which the sentence has all together;
    ``evidence`` is what a node said.
    """

    code: str
    message: str
    hint: str = ""
    status: int = int(ExitStatus.SERVICE)
    evidence: str = ""
    problems: tuple[ProblemView, ...] = ()

    @property
    def http_status(self) -> int:
        """Status of the answer that has this document."""
        if self.code in (UNKNOWN_ROUTE, UNKNOWN_FIELD):
            return 404 if self.code == UNKNOWN_ROUTE else 400
        return CLASSES[self.code][1] if self.code in CLASSES else 500

    @classmethod
    def of(cls, error: BaseException) -> ErrorView:
        """Document of an error; of one that is not ours its class is told, for its text may have secrets."""
        if not isinstance(error, KadeployError):
            hint = "the log of kadeployd says where: report it"
            return cls(code=DEFECT, message=f"unexpected error: {type(error).__name__}", hint=hint)
        code = next(_CODES[kind] for kind in (*type(error).__mro__, errors.ServiceError) if kind in _CODES)
        return cls(
            code=code,
            message=error.message,
            hint=error.hint,
            status=int(error.status),
            evidence=error.evidence if isinstance(error, NodeError) else "",
            problems=_problems(error),
        )

    def to_error(self) -> KadeployError:
        """Make the error of this document; where its class is unknown here, one with the same exit status."""
        kind, _ = CLASSES.get(self.code, (_BASES.get(self.status, errors.ServiceError), 0))
        if kind is RequestError and self.problems:
            return RequestError(
                [errors.RequestProblem(one.field, one.message) for one in self.problems], hint=self.hint
            )
        if kind is FileError:
            problems = [FileProblem(one.path, one.message, one.line, one.column) for one in self.problems]
            return FileError(problems, hint=self.hint)
        if issubclass(kind, NodeError):
            return kind(self.message, evidence=self.evidence, hint=self.hint)
        return (errors.UsageError if kind is RequestError else kind)(self.message, hint=self.hint)


def _problems(error: KadeployError) -> tuple[ProblemView, ...]:
    if isinstance(error, RequestError):
        return tuple(ProblemView(field=one.field, message=one.message) for one in error.problems)
    if isinstance(error, FileError):
        return tuple(
            ProblemView(path=one.path, message=one.message, line=one.line, column=one.column)
            for one in error.problems
        )
    return ()
