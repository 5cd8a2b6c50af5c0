# SPDX-License-Identifier: Apache-2.0
"""Errors that name the class of their cause, and the class of any other error."""

from __future__ import annotations

import re

from kadeploy.errors import KadeployError, NodeError, PowerError, UnreachableError
from kadeploy.vocabulary.cause import Cause

# What kernel and tools write when a disk is broken.
_BROKEN = re.compile(r"Input/output error|I/O error|Read-only file system|Structure needs cleaning")
_FULL = re.compile(r"No space left on device|Disk quota exceeded")

# Scripts of others: what they fill is not known to be the node's disk.
_SCRIPTS = (Cause.POST_INSTALL, Cause.CUSTOM)


class CausedError(NodeError):
    """A failure of which more is known than the step in which it happened.

    ``lasting``: another attempt would fail the same way.
    """

    def __init__(
        self, message: str, cause: Cause, *, evidence: str = "", hint: str = "", lasting: bool = False
    ) -> None:
        super().__init__(message, evidence=evidence, hint=hint)
        self.cause = cause
        self.lasting = lasting


def cause_of(error: KadeployError, default: Cause) -> Cause:
    """The class of an error in a step whose failures are of the class ``default`` as a rule."""
    match error:
        case CausedError():
            return error.cause
        case PowerError():
            return Cause.POWER
        case UnreachableError():
            return Cause.CONNECTION
        case NodeError():
            return cause_by_text(f"{error.message}\n{error.evidence}", default)
        case _:
            return Cause.SERVICE


def cause_by_text(text: str, default: Cause) -> Cause:
    """The class of what a node has written: ``default``, unless it blames the disk."""
    full = default not in _SCRIPTS and _FULL.search(text) is not None
    return Cause.DISK if full or _BROKEN.search(text) is not None else default
