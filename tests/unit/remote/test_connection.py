# SPDX-License-Identifier: Apache-2.0
"""Commands over one connection, against OpenSSH's own server."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import time
from pathlib import Path

import pytest

from kadeploy.errors import BrokenConnectionError, RemoteError, UnreachableError
from kadeploy.remote import links, process
from kadeploy.remote.command import OUTPUT_LIMIT
from kadeploy.remote.connection import NodeConnections
from kadeploy.remote.session import CommandSession

from .conftest import NODE, Keys, Sshd


def unique_sleep() -> str:
    """Seconds that no other process sleeps: what a failed test leaves must not be taken for its own."""
    return f"{secrets.randbelow(10**9) + 10**9}.5"


def running(marker: str) -> list[str]:
    """Command lines with the marker in them, of processes that still run."""
    listed = subprocess.run(["ps", "-e", "-o", "args="], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if marker in line]


async def gone(marker: str) -> bool:
    give_up = time.monotonic() + 10
    while running(marker) and time.monotonic() < give_up:
        await asyncio.sleep(0.05)
    return not running(marker)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when what LOUD writes has arrived."""
    event, receive = asyncio.Event(), CommandSession.data_received

    def note(session: CommandSession, data: bytes, datatype: int | None) -> None:
        receive(session, data, datatype)
        if "so far" in session.stderr.text():
            event.set()

    monkeypatch.setattr(CommandSession, "data_received", note)
    return event


async def connect(nodes: NodeConnections) -> None:
    """Open the connection, which then takes nothing of the deadline of the next command."""
    await nodes.run(NODE, ["true"], timeout=20)


async def test_arguments_and_variables_arrive_unchanged(nodes: NodeConnections) -> None:
    nasty = ["", " ", "it's", '"$HOME"', "`id`", "$(id)", "a\nb", "*", ";reboot", "\\", "é", "-n"]
    env = {"A": 'it\'s "$(date)"\n;', "B": ""}
    result = await nodes.run(
        NODE, ["sh", "-c", 'printf "%s\\0" "$@" "$A" "$B"', "sh", *nasty], env=env, timeout=10
    )
    assert result.stdout.split("\0")[:-1] == [*nasty, *env.values()]
    assert (result.status, result.stderr) == (0, "")


async def test_variables_may_have_names_that_shells_keep_for_themselves(nodes: NodeConnections) -> None:
    env = {"UID": "7", "PPID": "8", "IFS": ":", "SHELLOPTS": "x"}
    result = await nodes.run(NODE, ["env"], env=env, timeout=10)
    assert env.items() <= dict(line.split("=", 1) for line in result.stdout.splitlines()).items()
    assert result.stderr == ""


async def test_a_failing_command_shows_status_and_last_lines(nodes: NodeConnections) -> None:
    argv = ["sh", "-c", "seq 50 >&2; exit 7"]
    with pytest.raises(RemoteError, match=r"on node-1 exited with status 7") as caught:
        await nodes.run(NODE, argv, timeout=10)
    last = [str(number) for number in range(41, 51)]
    assert caught.value.evidence.splitlines() == ["$ sh -c 'seq 50 >&2; exit 7'", "exit status 7", *last]
    result = await nodes.run(NODE, argv, timeout=10, check=False)
    assert (result.status, result.evidence) == (7, caught.value.evidence)


LOUD = ["sh", "-c", "echo so far >&2; exec sleep 60"]
LOUD_LINE = "$ sh -c 'echo so far >&2; exec sleep 60'"


async def test_a_command_that_takes_too_long_is_named_with_what_it_wrote(nodes: NodeConnections) -> None:
    await connect(nodes)
    with pytest.raises(RemoteError, match="did not end within") as caught:
        await nodes.run(NODE, LOUD, timeout=2)
    assert caught.value.evidence.splitlines() == [LOUD_LINE, "had not ended after 2 s", "so far"]


async def test_a_command_that_is_cancelled_leaves_a_note(
    nodes: NodeConnections, heard: asyncio.Event
) -> None:
    notes = []

    async def run() -> None:
        try:
            await nodes.run(NODE, LOUD, timeout=30)
        except asyncio.CancelledError as cancelled:
            notes.extend(cancelled.__notes__)
            raise

    command = asyncio.create_task(run())
    await heard.wait()
    command.cancel()
    with pytest.raises(asyncio.CancelledError):
        await command
    assert notes == [f"command 'sh -c …' was running on {NODE}", f"{LOUD_LINE}\nhad not ended\nso far"]


async def test_a_script_that_fails_is_named_without_its_text(nodes: NodeConnections) -> None:
    script = b"#!/bin/sh\necho no disk >&2; exit 3\n"
    with pytest.raises(RemoteError) as failed:
        await nodes.run_script(NODE, script, ["a b"], timeout=10)
    line = f"$ sh -c … script {len(script)} 'a b'"
    assert failed.value.evidence.splitlines() == [line, "exit status 3", "no disk"]


async def test_a_node_that_is_gone_is_told_from_a_command_that_failed(
    nodes: NodeConnections, sshd: Sshd, heard: asyncio.Event
) -> None:
    command = asyncio.create_task(nodes.run(NODE, LOUD, timeout=30))
    await heard.wait()
    sshd.stop()
    with pytest.raises(BrokenConnectionError, match="the connection broke") as broken:
        await command
    assert broken.value.evidence.splitlines() == [LOUD_LINE, "no exit status", "so far"]
    with pytest.raises(UnreachableError) as unreachable:
        await nodes.run(NODE, ["true"], timeout=10)
    assert unreachable.value.evidence == "$ true\nwas not run"
    with pytest.raises(UnreachableError) as unstarted:
        await nodes.start(NODE, ["true"])
    assert unstarted.value.evidence == "$ true\nwas not run"


async def test_a_signal_is_a_negative_status(nodes: NodeConnections) -> None:
    result = await nodes.run(NODE, ["sh", "-c", "kill -9 $$"], timeout=10, check=False)
    assert result.status == -9


async def test_input_arrives_whole(nodes: NodeConnections) -> None:
    result = await nodes.run(NODE, ["wc", "-c"], input=b"x" * 3_000_000, timeout=20)
    assert int(result.stdout) == 3_000_000


async def test_a_command_may_leave_its_input_unread(nodes: NodeConnections) -> None:
    result = await nodes.run(NODE, ["true"], input=b"x" * 10_000_000, timeout=20)
    assert result.status == 0


async def test_long_output_is_bounded_to_its_end(nodes: NodeConnections) -> None:
    result = await nodes.run(NODE, ["sh", "-c", "head -c 30000000 /dev/zero; echo the end"], timeout=30)
    assert len(result.stdout) == OUTPUT_LIMIT
    assert result.stdout.endswith("the end\n")


async def test_output_is_told_as_it_comes(nodes: NodeConnections) -> None:
    pieces: list[bytes] = []
    await nodes.run(NODE, ["sh", "-c", "echo a; echo no >&2; echo b"], timeout=10, on_output=pieces.append)
    assert b"".join(pieces) == b"a\nb\n"


async def test_undecodable_output_is_no_error(nodes: NodeConnections) -> None:
    result = await nodes.run(NODE, ["printf", r"\377x"], timeout=10)
    assert result.stdout == "�x"


async def test_timeout_ends_the_whole_family(nodes: NodeConnections) -> None:
    marker = unique_sleep()
    argv = ["sh", "-c", f"sleep {marker} & setsid sleep {marker} & (trap '' TERM; sleep {marker}); true"]
    await connect(nodes)
    with pytest.raises(RemoteError, match="did not end within 1 s"):
        await nodes.run(NODE, argv, timeout=1)
    assert await gone(marker)


async def test_cancelling_ends_the_command(nodes: NodeConnections) -> None:
    marker = unique_sleep()
    task = asyncio.create_task(nodes.run(NODE, ["sleep", marker], timeout=60))
    while not running(marker):
        await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(marker)
    assert (await nodes.run(NODE, ["echo", "alive"], timeout=10)).stdout == "alive\n"


async def test_fifty_commands_share_one_connection(nodes: NodeConnections) -> None:
    command = ["sh", "-c", 'echo "$1 $SSH_CONNECTION"', "sh"]
    runs = (nodes.run(NODE, [*command, str(n)], timeout=60) for n in range(50))
    answers = [result.stdout.split(maxsplit=1) for result in await asyncio.gather(*runs)]
    assert [number for number, _ in answers] == [str(n) for n in range(50)]
    assert len({connection for _, connection in answers}) == 1


async def test_a_command_waits_until_sshd_has_a_free_place(
    nodes: NodeConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MaxSessions is 10 by default; one that ended may be counted for a moment longer."""
    holders = [await nodes.start(NODE, ["cat"]) for _ in range(10)]
    with pytest.raises(RemoteError, match="node-1 refuses to run a command: open failed"):
        await nodes.run(NODE, ["echo", "never"], timeout=20)
    monkeypatch.setattr(links, "SLOT_TIME", 20)
    monkeypatch.setattr(process, "STOP_TIME", 20)
    waiting = asyncio.create_task(nodes.run(NODE, ["echo", "late"], timeout=20))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    holders[0].close_input()
    assert (await waiting).stdout == "late\n"
    assert await holders[0].stop() == "exit status 0"
    await asyncio.gather(*(holder.stop() for holder in holders[1:]))


async def test_a_wrong_host_key_is_refused(nodes: NodeConnections, keys: Keys) -> None:
    await nodes.run(NODE, ["true"], timeout=10)
    nodes.pin(NODE, [keys.public("other")])
    with pytest.raises(RemoteError, match="host key that is not its own"):
        await nodes.run(NODE, ["true"], timeout=10)
    nodes.pin(NODE, [keys.public("other"), keys.public("host")])
    assert (await nodes.run(NODE, ["true"], timeout=10)).status == 0


async def test_without_a_pinned_key_nothing_is_run(sshd: Sshd, keys: Keys) -> None:
    connections = NodeConnections(client_key=keys.client, address=lambda _: "127.0.0.1", port=sshd.port)
    with pytest.raises(RemoteError, match="no host key is known for node-1"):
        await connections.run(NODE, ["true"], timeout=10)


async def test_a_wrong_client_key_is_named(nodes: NodeConnections, sshd: Sshd, keys: Keys) -> None:
    connections = NodeConnections(client_key=keys.other, address={NODE: "127.0.0.1"}, port=sshd.port)
    connections.pin(NODE, [keys.public("host")])
    with pytest.raises(RemoteError, match="node-1 refuses the engine's key"):
        await connections.run(NODE, ["true"], timeout=10)


async def test_a_dead_connection_is_replaced(nodes: NodeConnections, sshd: Sshd) -> None:
    await nodes.run(NODE, ["true"], timeout=10)
    sshd.stop()
    sshd.start()
    async with asyncio.timeout(10):
        while True:
            try:
                result = await nodes.run(NODE, ["echo", "again"], timeout=10)
                break
            except RemoteError as error:
                assert "Connect call failed" in error.message  # the new sshd does not listen yet
    assert result.stdout == "again\n"


async def test_a_connection_that_breaks_in_a_command_is_an_error(
    nodes: NodeConnections, sshd: Sshd, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    script = 'echo $$ >"$1.new"; mv "$1.new" "$1"; exec sleep 60'
    task = asyncio.create_task(nodes.run(NODE, ["sh", "-c", script, "sh", str(pid)], timeout=60))
    while not pid.exists():
        await asyncio.sleep(0.05)
    try:
        sshd.stop()
        with pytest.raises(RemoteError, match="the connection broke"):
            await task
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)


async def test_nobody_listening_is_an_error(nodes: NodeConnections, sshd: Sshd) -> None:
    sshd.stop()
    with pytest.raises(RemoteError, match="no ssh connection to node-1"):
        await nodes.run(NODE, ["true"], timeout=10)


async def test_a_script_gets_arguments_and_variables_and_is_removed(nodes: NodeConnections) -> None:
    script = b'#!/bin/sh\nprintf "%s|" "$A" "$@" "$0"\nexit 3\n'
    result = await nodes.run_script(
        NODE, script, ["x  y", "'"], env={"A": '"it\'s" $A'}, timeout=10, check=False
    )
    *words, path, _ = result.stdout.split("|")
    assert words == ['"it\'s" $A', "x  y", "'"]
    assert result.status == 3
    assert not Path(path).exists()


async def test_a_cancelled_script_is_removed(nodes: NodeConnections, tmp_path: Path) -> None:
    marker = unique_sleep()
    place = tmp_path / "place"
    script = f'#!/bin/sh\nprintf %s "$0" >{place}.new\nmv {place}.new {place}\nsleep {marker}\n'.encode()
    task = asyncio.create_task(nodes.run_script(NODE, script, timeout=60))
    while not place.exists():
        await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(marker)
    assert not Path(place.read_text()).exists()


async def test_a_program_is_spoken_to(nodes: NodeConnections) -> None:
    program = await nodes.start(NODE, ["sh", "-c", 'while read -r line; do echo "got $line"; done; exit 4'])
    for word in (b"one", b"two"):
        await program.write(word + b"\n")
        assert await program.readline() == b"got " + word + b"\n"
    program.close_input()
    assert await program.readline() == b""
    assert await program.wait() == 4


async def test_stop_ends_a_program_by_force(nodes: NodeConnections) -> None:
    marker = unique_sleep()
    program = await nodes.start(NODE, ["sh", "-c", f"echo oh >&2; sleep {marker} & sleep {marker}"])
    while not running(marker):
        await asyncio.sleep(0.05)
    ending = await program.stop()
    assert ending.splitlines() == ["ended by force after 3 s", "oh"]
    assert await gone(marker)


async def test_stop_tells_the_status_of_a_program_that_obeys(
    nodes: NodeConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "STOP_TIME", 20)
    program = await nodes.start(NODE, ["cat"])
    await program.write(b"line\n")
    assert await program.stop() == "exit status 0"
