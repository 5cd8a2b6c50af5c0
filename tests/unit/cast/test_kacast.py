# SPDX-License-Identifier: Apache-2.0
"""kacast as a user calls it, with hosts that are real ssh servers on loopback."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.unit.broadcast.pulling import SmallTransport
from tests.unit.cli import program
from tests.unit.remote.conftest import Sshd

from .conftest import COUNT, NOBODY, User, answers, until

pytestmark = [pytest.mark.slow, pytest.mark.needs("curl")]

HOSTS = f"node-[1-{COUNT}]"
NAMES = [f"node-{number}" for number in range(1, COUNT + 1)]
ENDLESS = ["--", "sh", "-c", "cat >/dev/null; sleep 1000; :", "sh"]


def test_a_command_takes_the_file(user: User, data: Path) -> None:
    done = user.cast(data, "-m", HOSTS, "-o", "ok", "-n", "ko", *user.store)
    assert (done.returncode, done.stdout) == (
        0,
        "The cast is successful on nodes\n" + "".join(f"{name}\n" for name in NAMES),
    ), done.stderr
    assert user.files == [data.read_bytes()] * COUNT
    assert (user.out / "ok").read_text().split() == NAMES
    assert (user.out / "ko").read_text() == ""
    assert "3 hosts" in done.stderr


def test_a_tree(user: User, data: Path) -> None:
    done = user.cast(data, "-m", HOSTS, "--arity", "2", *user.store)
    assert done.returncode == 0, done.stderr
    assert user.files == [data.read_bytes()] * COUNT


def test_hosts_without_python(user: User, sshd: Sshd, data: Path, tmp_path: Path) -> None:
    transport = SmallTransport(tmp_path, "curl", "grep")
    sshd.stop()
    with sshd.configuration.open("a") as file:
        file.write(f'ForceCommand PATH={transport.bin} exec sh -c "$SSH_ORIGINAL_COMMAND"\n')
    sshd.start()
    until(lambda: answers("127.0.1.1", sshd.port), "sshd does not answer")
    done = user.cast(data, "-m", HOSTS, *user.store)
    assert done.returncode == 0, done.stderr
    assert user.files == [data.read_bytes()] * COUNT
    assert f"{HOSTS}: no Python 3.11 there, so not in the chain\n{HOSTS}: fetched by curl\n" in done.stderr


def test_a_host_that_cannot_be_reached(user: User, data: Path) -> None:
    hosts = ["-m", HOSTS, "-m", NOBODY, "-o", "ok", "-n", "ko"]
    done = user.cast(data, *hosts, "--json", *user.store)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert (report["schema"], report["bytes"]) == (1, data.stat().st_size)
    assert {node["node"]: (node["phase"], node["cause"]) for node in report["nodes"]} == {
        **dict.fromkeys(NAMES, ("ok", "")),
        NOBODY: ("ko", "node"),
    }
    assert f"{NOBODY}: [node] no ssh connection to {NOBODY}: Connection refused" in done.stderr
    assert (user.out / "ok").read_text().split() == NAMES
    assert (user.out / "ko").read_text().split() == [NOBODY]
    assert user.files == [data.read_bytes()] * COUNT


@pytest.mark.parametrize(("enough", "status"), [("75%", 0), ("3", 0), ("76%", 1), ("4", 1)])
def test_min_ok(user: User, data: Path, enough: str, status: int) -> None:
    done = user.cast(data, "-m", HOSTS, "-m", NOBODY, "--min-ok", enough, *user.store)
    assert done.returncode == status


def test_standard_input(user: User) -> None:
    text = "line\n" * 100_000
    done = user.cast("-", "-m", HOSTS, *user.store, text=text)
    assert done.returncode == 0, done.stderr
    assert user.files == [text.encode()] * COUNT
    assert "into a temporary file" in done.stderr


def test_an_empty_file(user: User) -> None:
    done = user.cast("-", "-m", HOSTS, *user.store)
    assert done.returncode == 0, done.stderr
    assert user.files == [b""] * COUNT


def test_to_a_path(user: User, data: Path) -> None:
    (user.out / "there").write_text("old")
    done = user.cast(data, "-m", "node-1", "--to", user.out / "there")
    assert done.returncode == 0, done.stderr
    assert (user.out / "there").read_bytes() == data.read_bytes()
    assert (user.out / "there").stat().st_mode & 0o777 == 0o640


def test_to_a_folder(user: User, data: Path) -> None:
    done = user.cast(data, "-m", "node-1", "--to", f"{user.out}/")
    assert done.returncode == 0, done.stderr
    assert (user.out / "data").read_bytes() == data.read_bytes()


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("", "is a directory"),
        ("missing/file", "nonexistent"),
        ("device", "is no regular file"),
    ],
)
def test_a_path_that_cannot_be(user: User, data: Path, place: str, reason: str) -> None:
    (user.out / "device").symlink_to("/dev/null")
    path = str(user.out / place).rstrip("/") if place else str(user.out)
    done = user.cast(data, "-m", "node-1", "-n", "ko", "--to", path)
    assert done.returncode == 1
    assert reason in done.stdout and "[consumer]" in done.stderr
    assert (user.out / "ko").read_text() == "node-1\n"


def test_a_command_that_fails(user: User, data: Path) -> None:
    script = 'cat >/dev/null; echo no room on "$1" >&2; exit 3'
    done = user.cast(data, "-m", "node-[1-2]", "--", "sh", "-c", script, "sh", user.out)
    assert done.returncode == 1
    assert done.stdout == (
        "The cast failed on nodes\nnode-1 (sh exited with status 3)\nnode-2 (sh exited with status 3)\n"
    )
    assert f"node-1: [consumer] sh exited with status 3\n    no room on {user.out}" in done.stderr


def test_hosts_give_no_orders_to_the_terminal(user: User, data: Path) -> None:
    script = 'cat >/dev/null; printf "\\033[2J\\033]0;mine\\007\\tno room" >&2; exit 3'
    done = user.cast(data, "-m", "node-1", "--", "sh", "-c", script, "sh")
    assert done.returncode == 1
    assert "    [2J]0;mine\tno room\n" in done.stderr and "\033" not in done.stderr


def test_arguments_go_to_no_shell(user: User, data: Path) -> None:
    word = "a  b; $HOME * 'x' \" \\"
    script = 'cat >/dev/null; printf %s "$2" >"$1"'
    done = user.cast(data, "-m", "node-1", "--", "sh", "-c", script, "sh", user.out / "word", word)
    assert done.returncode == 0, done.stderr
    assert (user.out / "word").read_text() == word


def test_an_unknown_host_key(user: User, data: Path) -> None:
    (user.home / ".ssh" / "known_hosts").write_text("")
    done = user.cast(data, "-m", "node-1", *user.store)
    assert done.returncode == 1
    assert "no known host key belongs to node-1" in done.stdout


def test_a_file_of_known_hosts(user: User, data: Path) -> None:
    known = (user.home / ".ssh" / "known_hosts").rename(user.out / "known")
    done = user.cast(data, "-m", HOSTS, "--known-hosts", known, *user.store)
    assert done.returncode == 0, done.stdout
    assert user.files == [data.read_bytes()] * COUNT


def test_options_win_over_the_configuration(user: User, data: Path) -> None:
    config = user.home / ".ssh" / "config"
    words = config.read_text().split()
    port, key = words[words.index("Port") + 1], words[words.index("IdentityFile") + 1]
    config.write_text("Host *\n  User nobody\n  Port 9\n")
    given = ["-l", "root", "-p", port, "-i", key]
    done = user.cast(data, "-m", "127.0.1.[1-3]", *given, *user.store)
    assert done.returncode == 0, done.stdout
    assert user.files == [data.read_bytes()] * COUNT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing(user: User, data: Path, number: signal.Signals) -> None:
    command = [*ENDLESS, str(user.out)]
    with user.start(data, "-m", HOSTS, "-n", "ko", "-o", "ok", *command) as process:
        until(lambda: len(running(user, "sh -c cat")) == COUNT, "the commands do not start")
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
    assert (process.returncode, said.splitlines()[-1]) == (130, "kacast: interrupted")
    assert running(user, "sh -c cat") == []
    assert (user.out / "ko").read_text().split() == NAMES


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupt_leaves_no_file(user: User, tmp_path: Path, number: signal.Signals) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(20 << 30)
    with user.start(large, "-m", "node-1", "--to", user.out / "there") as process:
        until(lambda: bool(list(user.out.glob(".there.*"))), "no file is made")
        process.send_signal(number)
        process.communicate(timeout=20)
    until(lambda: not list(user.out.iterdir()), "files are left")


def running(user: User, program: str) -> list[str]:
    return [line for line in user.processes() if line.startswith(program)]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["data", "-m", "node-1"], 2, "what the hosts shall do with the file is not given"),
        (["data", "-m", "node-1", "--to", "/x", "--", "cat"], 2, "a command and --to exclude each other"),
        (["-", "-f", "-", "--to", "/x"], 2, "cannot be the file and the list of hosts"),
        (["-", "-m", "node-1", "--to", "/x/"], 2, "has no name in /x/"),
        (["data", "-m", "node-1", "--to", "x"], 2, "'x' is not an absolute path"),
        (["data", "--to", "/x"], 2, "no node is chosen"),
        (["data", "-m", "node-[1-2]", "--to", "/x", "--min-ok", "3"], 2, "there are only 2 nodes"),
        (["data", "-m", "node-1", "--to", "/x", "-o", "a", "-n", "a"], 2, "-o and -n name the same file"),
        (["data", "-m", "node-1", "--to", "/x", "-i", "none"], 2, "none cannot be read"),
        (["data", "-m", "node-1", "--to", "/x", "-i", "data"], 2, "data cannot be used as a key"),
        (["data", "-m", "node-1", "--to", "/x", "--known-hosts", "none"], 2, "none cannot be read"),
        (["none", "-m", "node-1", "--to", "/x"], 3, "none cannot be read"),
        ([".", "-m", "node-1", "--to", "/x"], 3, "is not a file"),
        (["data", "-f", "none", "--to", "/x"], 3, "none cannot be read"),
    ],
)
def test_refusals(tmp_path: Path, arguments: list[str], status: int, message: str) -> None:
    (tmp_path / "data").write_text("x")
    done = program.call("kacast", arguments, tmp_path, User(tmp_path, tmp_path).environment)
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    assert message in done.stderr


def test_a_broken_configuration(user: User, data: Path) -> None:
    (user.home / ".ssh" / "config").write_text("Port many\n")
    done = user.cast(data, "-m", "node-1", *user.store)
    assert done.returncode == 2
    assert "the ssh configuration cannot be understood" in done.stderr
