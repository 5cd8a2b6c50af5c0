# SPDX-License-Identifier: Apache-2.0
"""Warnings of the boot server at a bounded rate."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kadeploy.boot.bounded_log import BURST, SECONDS, BoundedLog


@contextmanager
def written_by(clock: Callable[[], float]) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger, and what it writes through the filter."""
    found = io.StringIO()
    handler = logging.StreamHandler(found)
    handler.addFilter(BoundedLog((ValueError,), clock))
    logger = logging.Logger("of-a-test")
    logger.addHandler(handler)
    yield logger, found


def test_a_few_lines_of_each_kind_and_the_number_of_others() -> None:
    now = 0.0
    with written_by(lambda: now) as (logger, found):
        for number in range(1000):
            logger.warning("%d is to ask again", number)
        logger.warning("another kind")
        now += SECONDS
        logger.warning("%d is to ask again", 1000)
        lines = found.getvalue().splitlines()
    assert len(lines) == BURST + 2
    assert lines[BURST - 1 :] == [
        f"{BURST - 1} is to ask again",
        "another kind",
        f"1000 is to ask again (and {1000 - BURST} like it that are not listed)",
    ]


def test_defects_have_a_traceback_and_what_clients_send_has_none() -> None:
    with written_by(lambda: 0.0) as (logger, found):
        for error in (ValueError("\x1b[31m"), KeyError("ours")):
            try:
                raise error
            except LookupError:
                logger.exception("ours")
            except ValueError:
                logger.exception("theirs of %s", "a\nb\x1b")
    first, *others = found.getvalue().splitlines()
    assert first == "theirs of ab: ValueError"
    assert others[0] == "ours" and others[-1] == "KeyError: 'ours'"
