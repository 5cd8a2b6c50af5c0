# SPDX-License-Identifier: Apache-2.0
"""The broadcast by a command of the site: what it is given, and what its end means for each node."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from kadeploy.broadcast.custom import CustomBroadcast, receive_command, replace_words
from kadeploy.broadcast.interface import Delivery, ImageSource, Pipeline, RelayResult, Trouble
from kadeploy.errors import ServiceError

from .local import HEAD, LocalTransport, recipients


@pytest.fixture
def delivery(tmp_path: Path) -> Delivery:
    path = tmp_path / "image"
    path.write_bytes(b"content\n" * 1000)
    source = ImageSource(path, 8000, hashlib.sha256(path.read_bytes()).hexdigest())
    return Delivery(source, recipients(3), [["cat"], ["sh", "-c", f"exec cat >'{tmp_path}/a  b'"]], HEAD)


async def run(delivery: Delivery, script: str, *words: str) -> Mapping[str, RelayResult]:
    command = ["sh", "-c", script, "cast", *words]
    folder = delivery.image.path.parent
    broadcast = CustomBroadcast(
        command, folder, {"SSH_KEY": "/etc/key"}, {"n1": "ssh-ed25519 A", "n2": "ssh-rsa B"}
    )
    return await broadcast.run(delivery, LocalTransport(folder), lambda news: None)


async def test_what_the_command_is_given(delivery: Delivery, tmp_path: Path) -> None:
    script = 'cat "$1" "$2"; echo "$3" "$4" "$5"; exit 3'
    results = await run(delivery, script, "NODEFILE", "ADDRESSFILE", "ENVFILE", "-i=SSH_KEY", "MY_NODEFILE")
    shown = f"n1\nn2\nn3\n127.0.1.1\n127.0.1.2\n127.0.1.3\n{tmp_path}/image -i=/etc/key MY_NODEFILE"
    assert [result.evidence for result in results.values()] == [shown] * 3


async def test_the_host_keys_are_given(delivery: Delivery) -> None:
    results = await run(delivery, 'cat "$1"; exit 1', "HOSTKEYFILE")
    lines = results["n1"].evidence.splitlines()
    assert lines[:2] == ["n1,127.0.1.1 ssh-ed25519 A", "n2,127.0.1.2 ssh-rsa B"], "n3's is not known"
    assert not any(line.startswith("n3") for line in lines)


async def test_the_command_that_takes_the_image(delivery: Delivery, tmp_path: Path) -> None:
    results = await run(delivery, 'sh -c "$1" <"$2"', "DECOMPRESS", "ENVFILE")
    assert all(result.ok and result.received == 8000 for result in results.values())
    assert (tmp_path / "a  b").read_bytes() == b"content\n" * 1000


@pytest.mark.parametrize(
    ("script", "failed"),
    [
        ("exit 0", {}),
        ('echo n2 >"$2"', {"n2": "sh reports it as failed"}),
        ('echo "n2 no route" >"$2"; echo n2 >"$1"', {"n2": "sh reports it as failed"}),
        ('echo n2 >"$1"; exit 2', dict.fromkeys(("n1", "n3"), "sh exited with status 2")),
        ('echo n2 >"$2"; exit 2', dict.fromkeys(("n1", "n2", "n3"), "sh exited with status 2")),
        ("kill -9 $$", dict.fromkeys(("n1", "n2", "n3"), "sh was killed by signal 9")),
        ('rm "$1" "$2"', {}),
    ],
)
async def test_what_its_end_means(delivery: Delivery, script: str, failed: dict[str, str]) -> None:
    results = await run(delivery, script, "OKFILE", "KOFILE")
    assert {node: result.reason for node, result in results.items() if not result.ok} == failed
    assert {result.trouble for result in results.values() if not result.ok} <= {Trouble.PEERS}


async def test_an_image_that_was_replaced_while_it_was_sent(delivery: Delivery, tmp_path: Path) -> None:
    """The command opens it by its name; nodes that had the right one before keep it."""
    script = 'tr c C <"$1" >"$1.new"; mv "$1.new" "$1"; echo n2 >"$2"; exec sh -c "$3" <"$1"'
    results = await run(delivery, script, "ENVFILE", "OKFILE", "DECOMPRESS")
    assert {node: result.trouble for node, result in results.items()} == {
        "n1": Trouble.IMAGE,
        "n2": Trouble.NONE,
        "n3": Trouble.IMAGE,
    }
    assert "SHA-256" in results["n1"].reason


async def test_an_image_of_another_size_runs_nothing(delivery: Delivery, tmp_path: Path) -> None:
    changed = replace(delivery, image=replace(delivery.image, size=1))
    results = await run(changed, 'touch "$1"', str(tmp_path / "ran"))
    assert {result.trouble for result in results.values()} == {Trouble.IMAGE}
    assert not (tmp_path / "ran").exists()


async def test_a_command_that_does_not_exist(delivery: Delivery, tmp_path: Path) -> None:
    broadcast = CustomBroadcast(["/nowhere/cast"], tmp_path)
    with pytest.raises(ServiceError, match="'/nowhere/cast' cannot be executed: No such file"):
        await broadcast.run(delivery, LocalTransport(Path("/")), lambda news: None)


def test_values_are_not_replaced_again() -> None:
    words = {"ENVFILE": "/srv/NODEFILE", "NODEFILE": "n"}
    assert replace_words(["ENVFILE:NODEFILE", "XENVFILE"], words) == ["/srv/NODEFILE:n", "XENVFILE"]


@pytest.mark.parametrize(
    ("consumer", "content", "status", "said"),
    [
        ([["cat"]], b"content\n" * 1000, 0, b""),
        ([["cat"]], b"other\n", 1, b"received other data: SHA-256 "),
        ([["head", "-c", "1"]], b"content\n" * 1000, 0, b""),
        ([["sh", "-c", "cat; exit 3"], ["cat"]], b"content\n" * 1000, 3, b""),
        ([["sh", "-c", "cat >/dev/null; exit 4"]], b"content\n" * 1000, 4, b""),
    ],
)
def test_taking(
    delivery: Delivery, tmp_path: Path, consumer: Pipeline, content: bytes, status: int, said: bytes
) -> None:
    line = receive_command(replace(delivery, consumer=consumer), delivery.image.sha256)
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    done = subprocess.run(["sh", "-c", line], input=content, capture_output=True, env=environment, timeout=30)
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith(said)
    assert list(tmp_path.glob("kadeploy-take.*")) == []
