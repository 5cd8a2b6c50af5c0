# SPDX-License-Identifier: Apache-2.0
"""Consumer of the stream on this node: a pipeline of commands in a process group of its own, or a path.

Runs on nodes: only modules of Debian's python3-minimal.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import threading
import time

from kadeploy.broadcast.node.ring import Cursor
from kadeploy.broadcast.node.wire import spawn

PIPE_BYTES = 1 << 20  # fs.pipe-max-size; the default of 64 KiB costs a context switch each
EVIDENCE_BYTES = 4096
EVIDENCE_LINES = 20
KILL_SECONDS = 1.0  # for the kernel to end a killed stage, unless that hangs in a driver


class Consumer:
    """Consumer of the whole stream; afterwards `reason` is empty, or says what failed, with `evidence`.

    Raises OSError from the constructor when a command or the path cannot be opened.
    """

    def __init__(self, target: list[list[str]] | str) -> None:
        self.reason = ""
        self._target = target
        self._tail = b""
        self._stages: list[subprocess.Popen[bytes]] = []
        self._lock = threading.RLock()  # a second signal may interrupt the `kill` of the first one
        if isinstance(target, str):
            # Not made here: whoever made it may have removed it again, since the connection broke meanwhile.
            self._sink = os.open(target, os.O_WRONLY | os.O_TRUNC)
        else:
            self._sink = self._start(target)

    @property
    def evidence(self) -> str:
        lines = self._tail.decode(errors="replace").splitlines()
        return "\n".join(lines[-EVIDENCE_LINES:])

    def consume(self, cursor: Cursor) -> None:
        """Block until the stream is over and the commands have ended; after a failure the ring is released at
        once."""
        try:
            self._drain(cursor)
            if isinstance(self._target, str):
                sync(self._sink)
        except BrokenPipeError:
            pass  # the first command ended early: its exit status says whether that was a failure
        except OSError as error:
            self.reason = f"cannot write {self._target}: {error.strerror}"
        cursor.release()
        os.close(self._sink)
        if self._stages:
            self._reap()

    def kill(self) -> None:
        """Kill the process group of the pipeline, and wait until all stages have ended, at most
        KILL_SECONDS."""
        with self._lock:
            if not self._stages:
                return
            os.killpg(self._stages[0].pid, signal.SIGKILL)
            give_up = time.monotonic() + KILL_SECONDS
            while not all(map(_has_ended, self._stages)) and time.monotonic() < give_up:
                time.sleep(0.005)

    def _start(self, pipeline: list[list[str]]) -> int:
        errors, stderr = os.pipe()
        stdin: int = subprocess.PIPE
        try:
            for number, command in enumerate(pipeline, 1):
                with self._lock:  # so that `kill` finds every stage that was started
                    stage = subprocess.Popen(
                        command,
                        stdin=stdin,
                        # Standard output of this process is for reports to the head only.
                        stdout=stderr if number == len(pipeline) else subprocess.PIPE,
                        stderr=stderr,
                        process_group=self._stages[0].pid if self._stages else 0,
                    )
                    self._stages.append(stage)
                if number > 1:
                    os.close(stdin)
                if number < len(pipeline):
                    assert stage.stdout
                    stdin = os.dup(stage.stdout.fileno())
                    stage.stdout.close()
        except OSError:
            self.kill()
            raise
        finally:
            os.close(stderr)
        self._stderr_reader = spawn(self._read_stderr, errors)
        first = self._stages[0].stdin
        assert first
        sink = os.dup(first.fileno())
        first.close()
        fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        return sink

    def _drain(self, cursor: Cursor) -> None:
        while cursor.offset < cursor.ring.size:
            if piece := cursor.peek(1.0):
                self._write(piece)
                cursor.advance(len(piece))

    def _write(self, piece: memoryview) -> None:
        written = 0
        while written < len(piece):
            written += os.write(self._sink, piece[written:])

    def _read_stderr(self, errors: int) -> None:
        while piece := os.read(errors, EVIDENCE_BYTES):
            self._tail = (self._tail + piece)[-EVIDENCE_BYTES:]
        os.close(errors)

    def _reap(self) -> None:
        for stage in self._stages:
            # Unreaped until all have ended: a zombie keeps the group's number ours, so `kill` hits no other.
            os.waitid(os.P_PID, stage.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            ended = [(stage.args, stage.wait()) for stage in self._stages]
            self._stages = []
        self._stderr_reader.join(1.0)  # a process in the background may hold stderr open
        # A stage that SIGPIPE killed shows only that the one after it ended first.
        failed = [stage for stage in ended if stage[1] not in (0, -signal.SIGPIPE)] or ended[-1:]
        arguments, status = failed[-1]
        if status:
            assert isinstance(arguments, list)
            how = f"exited with status {status}" if status > 0 else f"was killed by signal {-status}"
            self.reason = f"{arguments[0]} {how}"


def sync(descriptor: int) -> None:
    """Flush to the disk, which raises OSError for write errors; does nothing for a pipe or /dev/null."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def _has_ended(stage: subprocess.Popen[bytes]) -> bool:
    """True when a stage runs no more; it is not reaped."""
    return os.waitid(os.P_PID, stage.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
