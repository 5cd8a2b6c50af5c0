# SPDX-License-Identifier: Apache-2.0
"""Files that appear on hosts whole and checked, or not at all.

On each host a shell script makes a temporary file beside the destination, into which the data are written.
On the order to publish it the script renames it to the destination; in every other case, also when the
connection breaks or this process is killed, it removes it.
"""

from __future__ import annotations

import asyncio
import posixpath
import secrets

from kadeploy.errors import NodeError, RemoteError
from kadeploy.local.ending import last_line
from kadeploy.remote.connection import Commands
from kadeploy.remote.process import RemoteProcess
from kadeploy.time_limit import time_limit

TIMEOUT = 30.0  # seconds for each of: making the temporary file, renaming it

# Arguments: destination, temporary file, mode. A broken connection sends HUP, closes the output and ends what
# `read` reads: a signal that is ignored while the file is being made is none that is missed.
_SCRIPT = """
[ ! -d "$1" ] || { echo "$1 is a directory" >&2; exit 1; }
[ ! -e "$1" ] || [ -f "$1" ] || { echo "$1 is no regular file" >&2; exit 1; }
umask 077
set -C
trap '' HUP INT TERM
: >"$2" || exit 1
trap 'rm -f "$2"' EXIT
trap 'exit 143' HUP INT PIPE TERM
echo ready
read -r order && [ "$order" = publish ] || exit 0
chmod "$3" "$2" && mv -f "$2" "$1" && echo published
"""


class AtomicFiles:
    """Files at one destination (an absolute path) on many hosts; the owner calls aclose() in the end."""

    def __init__(self, connections: Commands, destination: str, mode: int) -> None:
        self._connections = connections
        self._destination = destination
        self._mode = mode
        folder, name = posixpath.split(destination)
        self.temporary = posixpath.join(folder, f".{name[:200]}.{secrets.token_hex(6)}")
        self._processes: dict[str, RemoteProcess] = {}

    async def prepare(self, host: str) -> None:
        """Make the temporary file of a host; raises NodeError."""
        words = ["sh", "-c", _SCRIPT, "atomic-file", self._destination, self.temporary, f"{self._mode:o}"]
        process = await self._connections.start(host, words)
        self._processes[host] = process
        await self._wait_for(host, b"ready\n")

    async def publish(self, host: str) -> None:
        """Rename the temporary file of a host to the destination; raises NodeError."""
        await self._processes[host].write(b"publish\n")
        await self._wait_for(host, b"published\n")

    async def aclose(self) -> None:
        """Remove the temporary files that were not published."""
        async with asyncio.TaskGroup() as group:
            for process in self._processes.values():
                group.create_task(process.stop())

    async def _wait_for(self, host: str, answer: bytes) -> None:
        process = self._processes[host]
        try:
            async with time_limit(TIMEOUT):
                while (line := await process.readline()) != answer:  # a login shell may have said something
                    if not line:
                        raise await self._failure(host)
        except TimeoutError as error:
            raise RemoteError(f"{self._destination} cannot be made within {TIMEOUT:g} s") from error

    async def _failure(self, host: str) -> NodeError:
        ending = await self._processes[host].stop()
        return RemoteError(f"{self._destination} cannot be written: {last_line(ending)}", evidence=ending)
