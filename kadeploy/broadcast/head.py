# SPDX-License-Identifier: Apache-2.0
"""Head of a broadcast: feeds lanes of nodes from the file, and serves ranges to nodes that ask for them.

Threads do the sending (sendfile may wait for the disk), so that the event loop of the engine never waits.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence

from kadeploy.broadcast.file_source import FileSource
from kadeploy.broadcast.interface import BroadcastOptions, ImageSource
from kadeploy.broadcast.node.lane import Lane
from kadeploy.broadcast.node.listener import Listener
from kadeploy.broadcast.node.succession import Succession
from kadeploy.broadcast.node.wire import shut, spawn
from kadeploy.broadcast.ranges import Ranges
from kadeploy.broadcast.sealer import Sealer

HEAD = "the head"  # its name in reasons


class Head:
    """Head with the file, the listening socket and the threads of one broadcast.

    `on_loss("skipped" or "slow", lane, node, reason)`, `on_bad_image(reason)` and `on_root(root)`, for each
    section whose root was not known, are called from threads.
    """

    def __init__(
        self,
        image: ImageSource,
        options: BroadcastOptions,
        address: str,
        secret: bytes,
        on_loss: Callable[[str, int, str, str], None],
        on_bad_image: Callable[[str], None],
        on_root: Callable[[str], None],
        known: Sequence[bytes] = (),
    ) -> None:
        """`known`: the seals of the image, none where they are not known."""
        self._size = image.size
        self._secret = secret
        self._silence = options.silence
        self._patience = options.absence
        self._on_loss = on_loss
        self._on_bad_image = on_bad_image
        self._lock = threading.Lock()
        self._stopping = False
        self._sources: list[FileSource] = []
        self._successions: list[Succession] = []
        self._descriptor = os.open(image.readable, os.O_RDONLY)
        self._sealer = Sealer(self._descriptor, image.size, options.chunk, on_bad_image, on_root, known)
        self._ranges = Ranges(image.size, options.chunk, options.silence, self._read)
        try:
            self._listener = Listener(address, secret, self._silence, self._ranges.serve)
        except OSError:
            os.close(self._descriptor)
            raise
        self.peer = (HEAD, address, self._listener.port)
        self._threads = [spawn(self._listener.run), spawn(self._sealer.run)]

    @property
    def sha256(self) -> str:
        """SHA-256 of the file in hexadecimal; '' as long as it was not read to its end."""
        return self._sealer.sha256

    @property
    def section(self) -> int:
        """Chunks of a section."""
        return self._sealer.section

    @property
    def known_roots(self) -> list[str]:
        """Roots that are known before the image is read, in hexadecimal."""
        return self._sealer.known_roots

    @property
    def new_seals(self) -> list[bytes]:
        """Seals of the whole image that were not known before; none as long as it was not read to its end."""
        return self._sealer.new_seals

    @property
    def free(self) -> bool:
        """True when no node is being fed from the file any more."""
        return all(source.exhausted or source.released for source in self._sources)

    def is_unchanged(self, offset: int) -> bool:
        """True when the file is, up to the end of the chunk at `offset`, still what was sealed."""
        return self._sealer.is_unchanged(offset)

    def feed(self, lane: Lane) -> None:
        """Begin to send to the first of `lane`; returns at once."""
        succession = Succession(
            lane, self._secret, self._silence, self._patience, self._source, self._report_loss
        )
        self._successions.append(succession)
        self._threads.append(spawn(succession.run))

    def stop_lane(self, number: int) -> None:
        """Stop to feed that lane: none of its nodes is left."""
        self._successions[number].stop()

    def stop(self) -> None:
        """Block (at most some seconds) until no thread uses the file any more, and close it."""
        shut(self._listener.socket)
        self._sealer.stop()
        for succession in self._successions:
            succession.stop()
        with self._lock:
            self._stopping = True
        self._ranges.stop()
        for thread in self._threads:
            thread.join(2 * self._silence + 1)
        self._listener.socket.close()
        os.close(self._descriptor)

    def _report_loss(self, kind: str, lane: int, node: str, reason: str) -> None:
        """Report a loss that a thread has found, unless the head is being stopped: a thread that was waiting
        for an answer may find it so late."""
        with self._lock:
            if not self._stopping:
                self._on_loss(kind, lane, node, reason)

    def _source(self) -> FileSource:
        source = self._read(self._size)
        self._sources.append(source)
        return source

    def _read(self, last: int) -> FileSource:
        return FileSource(self._descriptor, self._sealer, last, self._on_bad_image)
