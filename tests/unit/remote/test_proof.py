# SPDX-License-Identifier: Apache-2.0
"""Waiting for a system whose key nobody knows before it has proven itself, on a real sshd."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kadeploy.errors import NodeError, RemoteError
from kadeploy.remote.connection import NodeConnections
from kadeploy.remote.handshake import ServerIdentity
from kadeploy.remote.hostkey import Answer, FailedProbe
from tests.unit.remote.conftest import NODE, Keys, Sshd

pytestmark = pytest.mark.usefixtures("nodes")  # its sshd answers


@pytest.fixture
def unpinned(sshd: Sshd, keys: Keys) -> NodeConnections:
    """Connections to a node of which nothing is known but its address."""
    return NodeConnections(client_key=keys.client, address={NODE: "127.0.0.1"}, port=sshd.port)


async def wait(
    connections: NodeConnections, path: Path, judge: object, seen: list[FailedProbe], seconds: float = 10
) -> ServerIdentity:
    async with asyncio.timeout(seconds):
        return await connections.wait_for_proof(NODE, str(path), judge, 0.05, seen.append)  # type: ignore[arg-type]


async def test_a_key_is_pinned_once_it_is_accepted(
    unpinned: NodeConnections, keys: Keys, tmp_path: Path
) -> None:
    (tmp_path / "proof").write_text("right")
    told: list[tuple[str, str]] = []

    async def judge(identity: ServerIdentity, text: str) -> FailedProbe | None:
        told.append((identity.key, text))
        return FailedProbe(Answer.OTHER_KEY, "not yet", identity) if len(told) == 1 else None

    with pytest.raises(RemoteError, match="no host key is known"):
        await unpinned.run(NODE, ["true"], timeout=5)
    seen: list[FailedProbe] = []
    identity = await wait(unpinned, tmp_path / "proof", judge, seen)
    own = " ".join(keys.public("host").split()[:2])
    assert identity.key == own and identity.version.startswith("SSH-2.0-OpenSSH")
    assert told == [(own, "right")] * 2
    assert [probe.text for probe in seen] == ["not yet"]
    assert (await unpinned.run(NODE, ["echo", "in"], timeout=5)).stdout == "in\n"
    await unpinned.aclose()


async def test_nothing_is_run_where_the_key_is_not_accepted(
    unpinned: NodeConnections, sshd: Sshd, tmp_path: Path
) -> None:
    async def judge(identity: ServerIdentity, text: str) -> FailedProbe | None:
        return FailedProbe(Answer.OTHER_KEY, f"a stranger with '{text}'", identity)

    seen: list[FailedProbe] = []
    with pytest.raises(TimeoutError):
        await wait(unpinned, tmp_path / "none", judge, seen, seconds=1)
    assert seen[-1].text == "a stranger with ''"
    with pytest.raises(RemoteError, match="no host key is known"):
        await unpinned.run(NODE, ["true"], timeout=5)
    asked = [line for line in sshd.log.read_text().splitlines() if "Starting session" in line]
    assert asked and all("command" in line for line in asked)


async def test_a_proof_that_cannot_become_right_ends_the_wait(
    unpinned: NodeConnections, tmp_path: Path
) -> None:
    async def judge(identity: ServerIdentity, text: str) -> FailedProbe | None:
        raise NodeError("two have fetched the profile")

    with pytest.raises(NodeError, match="two have fetched"):
        await wait(unpinned, tmp_path / "none", judge, [])


async def test_a_server_that_sends_without_end_is_bounded(unpinned: NodeConnections) -> None:
    lengths: list[int] = []

    async def judge(identity: ServerIdentity, text: str) -> FailedProbe | None:
        lengths.append(len(text))
        return None

    with pytest.raises(TimeoutError):
        await wait(unpinned, Path("/dev/zero"), judge, [], seconds=2)
    assert lengths == []


async def test_another_key_of_the_engine_is_refused(sshd: Sshd, keys: Keys, tmp_path: Path) -> None:
    stranger = NodeConnections(client_key=keys.other, address={NODE: "127.0.0.1"}, port=sshd.port)
    seen: list[FailedProbe] = []

    async def judge(identity: ServerIdentity, text: str) -> FailedProbe | None:
        return None

    with pytest.raises(TimeoutError):
        await wait(stranger, tmp_path / "none", judge, seen, seconds=1)
    assert seen[-1].text == f"{NODE} refuses the engine's key"
    assert seen[-1].identity.key == " ".join(keys.public("host").split()[:2])
