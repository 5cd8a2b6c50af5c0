# SPDX-License-Identifier: Apache-2.0
"""Processes that outlive their parent: started with a record, and ended only if the record is theirs.

A record is a file with the pid and the kernel's start time of the process, which together name one process
for as long as the machine runs. The child writes it before it executes the program, while it still holds the
lock of its parent: a process that gets the lock later finds the record.

Small and quick to import, as a BMC starts it for each command.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from kadeploy.local.process_stat import read_stat

MARKER = "KALAB_STATE"  # in the environment of all processes of a lab: its state directory
KILL_SECONDS = 10.0  # for the kernel to end a process


def launch(argv: list[str], *, record: str, log: str, state: str) -> int:
    """Start a program in a session of its own, its output appended to ``log``; returns its pid.

    Raises OSError where the program cannot be executed.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _execute_child(argv, record, log, state, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        failure = pipe.read()  # ends when the program is executed
    if failure:
        os.waitpid(pid, 0)
        Path(record).unlink(missing_ok=True)
        number = int(failure)
        raise OSError(number, os.strerror(number), argv[0])
    return pid


def _execute_child(argv: list[str], record: str, log: str, state: str, failure: int) -> None:
    try:
        os.setsid()
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # until the program handles them: a button must not end it
        flags = os.O_WRONLY | os.O_CREAT
        write_record(record, os.getpid())
        output = os.open(log, flags | os.O_APPEND, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for descriptor in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
            if descriptor > 2:
                _close_on_exec(descriptor)
        os.execvpe(argv[0], argv, {**os.environ, MARKER: state})  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(failure, str(error.errno or 5).encode())
    finally:
        os._exit(127)


def write_record(record: str, pid: int) -> None:
    """Record a process, which is this one or a child that has not been reaped."""
    descriptor = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    os.write(descriptor, f"{pid} {read_stat(pid).start}\n".encode())
    os.close(descriptor)


def _close_on_exec(descriptor: int) -> None:
    # ipmi_sim does not close its sockets on exec: a machine would keep the port of its BMC in use.
    try:
        os.set_inheritable(descriptor, False)
    except OSError:
        return  # the descriptor with which the directory was listed


def read_record(record: str) -> tuple[int, int] | None:
    """Pid and start time of a record; None if there is none or it was never completed."""
    try:
        pid, start = (int(field) for field in Path(record).read_text(encoding="ascii").split())
    except (FileNotFoundError, ValueError):
        return None
    return pid, start


def running(record: str) -> int | None:
    """Pid of the recorded process if it runs (a zombie does not)."""
    known = read_record(record)
    if known is None:
        return None
    try:
        stat = read_stat(known[0])
    except OSError:
        return None
    return known[0] if stat.start == known[1] and not stat.has_ended else None


def stop(record: str, *, state: str, grace: float) -> None:
    """End the recorded process, after ``grace`` seconds by force, and the rest of its session.

    Raises TimeoutError for a process that even SIGKILL does not end within 10 s.
    """
    stop_all([record], state=state, grace=grace)


def stop_all(records: Iterable[str], *, state: str, grace: float) -> None:
    """End many recorded processes, as ``stop`` does; all are signalled before any is waited for."""
    known = {record: process for record in records if (process := read_record(record)) is not None}
    if grace > 0:
        _signal_all(known.values(), signal.SIGTERM, grace)
    _signal_all(known.values(), signal.SIGKILL, KILL_SECONDS)
    _signal_all(_sessions({pid for pid, _ in known.values()}, state), signal.SIGKILL, KILL_SECONDS)
    for record, (pid, _) in known.items():
        if running(record) is not None:
            raise TimeoutError(f"process {pid} ({record}) does not end")
        Path(record).unlink(missing_ok=True)


def send(record: str, number: signal.Signals) -> None:
    """Signal the recorded process if it runs."""
    known = read_record(record)
    if known is not None:
        _signal_all([known], number, 0)


def _signal_all(processes: Iterable[tuple[int, int]], number: signal.Signals, wait: float) -> None:
    """Signal processes of these pids and start times, and wait at most ``wait`` seconds for their ends."""
    left = {descriptor for pid, start in processes if (descriptor := _signal(pid, start, number)) is not None}
    deadline = time.monotonic() + wait
    poll = select.poll()
    for descriptor in left:
        poll.register(descriptor, select.POLLIN)
    try:
        while left and (seconds := deadline - time.monotonic()) > 0:
            for descriptor, _ in poll.poll(seconds * 1000):
                poll.unregister(descriptor)
                left.discard(descriptor)
                os.close(descriptor)
    finally:
        for descriptor in left:
            os.close(descriptor)


def _signal(pid: int, start: int, number: signal.Signals) -> int | None:
    """Signal the process of this pid and start time; returns a descriptor of its end, None after that."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        # Read after pidfd_open: so the process that is signalled below is the one that is read here.
        stat = read_stat(pid)
        if stat.start == start and not stat.has_ended:
            signal.pidfd_send_signal(descriptor, number)
            return descriptor
    except (ProcessLookupError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _sessions(leaders: set[int], state: str) -> list[tuple[int, int]]:
    """Pids and start times of the living members of these sessions, of the lab with this state."""
    members = []
    for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:  # noqa: PTH208 - four times as fast
        try:
            stat = read_stat(pid)
            if stat.session in leaders and not stat.has_ended and _belongs(pid, state):
                members.append((pid, stat.start))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return members


def _belongs(pid: int, state: str) -> bool:
    return f"{MARKER}={state}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
