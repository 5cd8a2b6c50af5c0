# SPDX-License-Identifier: Apache-2.0
"""Host keys are made for a server wherever an image has it."""

from __future__ import annotations

import pytest

from kadeploy.disks.tree.host_keys import SERVERS

from .conftest import Image


@pytest.mark.parametrize("place", SERVERS)
def test_a_server_without_keys_gets_them(image: Image, place: str) -> None:
    (image.root / "usr/sbin/sshd").unlink()
    image.write(place[1:], "").chmod(0o755)
    ended = image.work("host_keys", "make")
    keys = [line.split()[0] for line in ended.stdout.decode().splitlines()]
    assert sorted(keys) == ["ecdsa-sha2-nistp256", "ssh-ed25519"], ended.stderr


def test_the_places_are_those_of_distributions() -> None:
    assert {"/usr/bin/sshd", "/usr/local/sbin/sshd", "/usr/lib/ssh/sshd"} < set(SERVERS)
