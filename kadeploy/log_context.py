# SPDX-License-Identifier: Apache-2.0
"""Context of what is logged: the workflow, the nodes and the micro-step for which something is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_NOTHING: Mapping[str, object] = {}

# Tasks have the context of the task that has made them, and so have threads that asyncio.to_thread begins.
_context: ContextVar[Mapping[str, object]] = ContextVar("log context", default=_NOTHING)


@contextmanager
def logging_of(**values: object) -> Iterator[None]:
    """Add values to the context while the block runs."""
    token = _context.set({**_context.get(), **values})
    try:
        yield
    finally:
        _context.reset(token)


def log_context() -> Mapping[str, object]:
    """Context by now: ``workflow`` and ``step`` are texts, ``nodes`` the names of nodes."""
    return _context.get()
