# SPDX-License-Identifier: Apache-2.0
"""Riders: small writes that nobody waits for closely, committed with the next write of their process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

Result = TypeVar("Result")


class Rider(Generic[Result]):
    """Change that waits for a transaction; ``carried`` tells whether that was committed.

    A change that raises must have changed nothing: a savepoint for each would cost as much as most of them.
    """

    def __init__(self, change: Callable[[Connection], Result]) -> None:
        self._change = change
        self._loop = asyncio.get_running_loop()
        self._result: Result | None = None
        self._error: Exception | None = None
        self.settled = asyncio.Event()
        self.carried = False

    def ride(self, connection: Connection) -> None:
        """Make the change; where it is refused, all else of the transaction stays."""
        try:
            self._result = self._change(connection)
        except DatabaseError:  # of a full disk SQLite rolls all of it back by itself
            raise
        except Exception as error:  # told to who waits for it
            self._error = error

    def settle(self, *, carried: bool) -> None:
        """Tell who waits, from the thread of the store, how the transaction ended."""
        self.carried = carried
        self._loop.call_soon_threadsafe(self.settled.set)

    def result(self) -> Result:
        """Result of the change, raises what it has raised."""
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value] # of a change that has been made


class Riders:
    """Riders that wait for the next write of a store."""

    def __init__(self) -> None:
        self._waiting: deque[Rider[Any]] = deque()

    def add(self, rider: Rider[Any]) -> None:
        """Let a rider wait."""
        self._waiting.append(rider)

    def withdraw(self, rider: Rider[Any]) -> bool:
        """Take a rider back; False where a transaction has it already."""
        try:
            self._waiting.remove(rider)
        except ValueError:
            return False
        return True

    @contextmanager
    def carried(self) -> Iterator[Callable[[Connection], None]]:
        """Function that lets all who wait ride in a transaction, which has ended when the block has."""
        riders: list[Rider[Any]] = []

        def carry(connection: Connection) -> None:
            while self._waiting:
                riders.append(self._waiting.popleft())
                riders[-1].ride(connection)

        committed = False
        try:
            yield carry
            committed = True
        finally:
            for rider in riders:
                rider.settle(carried=committed)
