# SPDX-License-Identifier: Apache-2.0
"""ssh keys of tests."""

from __future__ import annotations

from pathlib import Path

import asyncssh


def write_key(path: Path, comment: str = "test") -> None:
    """Write a new private key of OpenSSH, and the public one beside it."""
    key = asyncssh.generate_private_key("ssh-ed25519", comment=comment)
    path.touch(mode=0o600)
    key.write_private_key(path)
    key.write_public_key(path.with_name(f"{path.name}.pub"))
