# SPDX-License-Identifier: Apache-2.0
"""Commands, scripts, copies and long-running programs on nodes, over one connection per node and boot."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import asyncssh

from kadeploy.errors import RemoteError, UnreachableError
from kadeploy.local.ending import describe_ending
from kadeploy.masking import masked
from kadeploy.remote.command import (
    KILL_TEXT,
    SCRIPT_TEXT,
    Result,
    command_line,
    describe_command,
    evidence,
    guarded_command_line,
)
from kadeploy.remote.links import Links, open_session
from kadeploy.remote.pool import ConnectionPool
from kadeploy.remote.process import RemoteProcess, start_program
from kadeploy.remote.session import CommandSession, start_command
from kadeploy.time_limit import time_limit

logger = logging.getLogger(__name__)

Begun = TypeVar("Begun")
Check = Callable[[Sequence[str]], Awaitable[None]]

KILL_TIME = 5.0  # seconds to end the processes of a cancelled command


async def allowed(_: Sequence[str]) -> None:
    """Allow all orders."""


class Commands(Links):
    """Runner of commands on nodes through their connections. Its owner calls aclose() in the end."""

    async def run(
        self,
        node: str,
        arguments: Sequence[str],
        *,
        input: bytes | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float,
        check: bool = True,
        on_output: Callable[[bytes], None] | None = None,
    ) -> Result:
        """Run a command and wait for its end, at most ``timeout`` seconds, connecting included.

        Raises UnreachableError when the node cannot be reached or the connection breaks, RemoteError when
        that time is over and, with ``check``, when the status is not 0. When it is cancelled or its time is
        over, the command is ended on the node with all its children; a cancellation gets notes that name it.
        What a command leaves in the background goes on, but what that writes to the streams of the command
        is lost. ``on_output`` is called with each piece of standard output.
        """
        return await self._execute(node, arguments, input or b"", env, timeout, check, on_output)

    async def run_script(
        self,
        node: str,
        script: bytes,
        arguments: Sequence[str] = (),
        *,
        env: Mapping[str, str] | None = None,
        timeout: float,
        check: bool = True,
    ) -> Result:
        """Copy a script to a temporary file on the node, execute it, remove it: one round trip."""
        words = ["sh", "-c", SCRIPT_TEXT, "script", str(len(script)), *arguments]
        return await self._execute(node, words, script, env, timeout, check)

    async def start(
        self, node: str, arguments: Sequence[str], env: Mapping[str, str] | None = None
    ) -> RemoteProcess:
        """Start a long-running program; its owner ends it by RemoteProcess.stop() or kill()."""
        run = secrets.token_hex(8)
        command = guarded_command_line(arguments, env, run, None)
        try:
            begin = self._permitted(node, lambda connection: start_program(connection, command))
            process = await self.open(node, begin)
        except asyncio.CancelledError:
            await self._end_run(node, run)
            raise
        except UnreachableError as error:
            error.evidence = error.evidence or evidence(arguments, "was not run")
            raise
        return RemoteProcess(process, lambda: self._end_run(node, run))

    async def _execute(
        self,
        node: str,
        arguments: Sequence[str],
        data: bytes,
        env: Mapping[str, str] | None,
        timeout: float,
        check: bool,
        on_output: Callable[[bytes], None] | None = None,
    ) -> Result:
        session: CommandSession | None = None
        try:
            async with contextlib.AsyncExitStack() as opened:
                async with time_limit(timeout):
                    opening = self._session(node, arguments, env, len(data), on_output)
                    session = await opened.enter_async_context(opening)
                    await session.send_input(data)
                    await session.wait_for_exit()
                result = await session.result()
        except TimeoutError as error:
            raise _timeout_error(node, arguments, session, timeout) from error
        except UnreachableError as error:
            error.evidence = error.evidence or evidence(arguments, "was not run")
            raise
        except asyncio.CancelledError as cancelled:  # the notes tell its caller which command was interrupted
            cancelled.add_note(f"command '{describe_command(arguments)}' was running on {node}")
            cancelled.add_note(session.evidence("had not ended") if session else "it had not begun")
            raise
        name = describe_command(arguments)
        logger.debug(
            "%s: %s -> %d in %.2f s%s", node, name, result.status, result.seconds, _indent_output(result)
        )
        if check and result.status != 0:
            raise RemoteError(
                f"command '{name}' on {node} {describe_ending(result.status)}", evidence=result.evidence
            )
        return result

    async def _permit(self, node: str) -> None:
        """Raises KadeployError where no command may be run on a node any more; right before each one."""

    def _permitted(
        self, node: str, begin: Callable[[asyncssh.SSHClientConnection], Awaitable[Begun]]
    ) -> Callable[[asyncssh.SSHClientConnection], Awaitable[Begun]]:
        async def begin_permitted(connection: asyncssh.SSHClientConnection) -> Begun:
            await self._permit(node)
            return await begin(connection)

        return begin_permitted

    @contextlib.asynccontextmanager
    async def _session(
        self,
        node: str,
        arguments: Sequence[str],
        env: Mapping[str, str] | None,
        input: int,
        on_output: Callable[[bytes], None] | None,
    ) -> AsyncIterator[CommandSession]:
        """Session of a command; when the context ends before the command, it ends the command."""
        run = secrets.token_hex(8)
        command = guarded_command_line(arguments, env, run, input)
        async with self.sessions(node):
            try:
                session = await self.open(
                    node,
                    self._permitted(
                        node, lambda connection: start_command(connection, arguments, command, on_output)
                    ),
                )
            except asyncio.CancelledError:
                await self._end_run(node, run)
                raise
            try:
                yield session
            finally:
                if session.status is None:
                    await self._end_run(node, run)
                session.abort()

    async def _end_run(self, node: str, run: str) -> None:
        """End every process of a run, if there is still a connection to the node.

        Without one there is nothing to do: the run has ended with the connection.
        """
        connection = self.existing(node)
        if connection is None:
            return
        command = command_line(["sh", "-c", KILL_TEXT, "kill", run], secrets.token_hex(8))
        # The error to report is the one that led here, not a failure to end the run.
        with contextlib.suppress(asyncssh.Error, OSError, RemoteError, TimeoutError):
            async with time_limit(KILL_TIME):
                session = await open_session(
                    connection, lambda opened: start_command(opened, ["kill"], command)
                )
                await session.wait_for_exit()


class NodeConnections(Commands, ConnectionPool):
    """Runner of commands for the engine: as root, with pinned host keys.

    ``check`` raises KadeployError where an order to nodes is not ours to give any more.
    """

    def __init__(self, *, check: Check = allowed, **settings: Any) -> None:
        super().__init__(**settings)
        self._check = check

    async def _permit(self, node: str) -> None:
        await self._check([node])


def _timeout_error(
    node: str, arguments: Sequence[str], session: CommandSession | None, timeout: float
) -> RemoteError:
    name, limit = describe_command(arguments), f"{timeout:g} s"
    if session is None:
        shown = evidence(arguments, "was not run")
        return UnreachableError(f"command '{name}' on {node} did not begin within {limit}", evidence=shown)
    shown = session.evidence(f"had not ended after {limit}")
    return RemoteError(f"command '{name}' on {node} did not end within {limit}", evidence=shown)


def _indent_output(result: Result) -> str:
    """Output of a command as indented lines, for the log of every command."""
    streams = (("stdout", result.stdout), ("stderr", result.stderr))
    return masked("".join(f"\n  {name}: {line}" for name, text in streams for line in text.splitlines()))
