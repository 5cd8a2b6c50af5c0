# SPDX-License-Identifier: Apache-2.0
"""Ssh algorithms that we propose, chosen for their cost.

Hundreds of handshakes run at once in one process, and every node is as slow as its firmware left it.
The post-quantum key exchanges that come first by default cost five to seven times the processor time of
curve25519; what they protect, ciphertext kept for decades, does not occur on a boot network. What follows
the first of each list is for servers that do not accept it.
"""

from __future__ import annotations

from collections.abc import Iterable

import asyncssh

KEY_EXCHANGES = (
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "diffie-hellman-group14-sha256",
    "diffie-hellman-group16-sha512",
)
CIPHERS = (
    "aes128-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes256-ctr",
)
HOST_KEY_TYPES = ("ed25519", "ecdsa", "rsa")

_SIGNATURES = {
    "ed25519": ("ssh-ed25519",),
    "ecdsa": ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    "rsa": ("rsa-sha2-256", "rsa-sha2-512"),
}


def signatures_of_type(key_type: str) -> tuple[str, ...]:
    """Signature algorithms of ``ed25519``, ``ecdsa`` or ``rsa`` host keys; KeyError for any other."""
    return _SIGNATURES[key_type]


def signatures_of_keys(keys: Iterable[asyncssh.SSHKey]) -> tuple[str, ...]:
    """Signature algorithms with which the holders of these keys can prove that they hold them."""
    algorithms: dict[str, None] = {}
    for key in keys:
        name = key.get_algorithm()
        # ssh-rsa names the key; as a signature it means SHA-1, which today's servers refuse.
        algorithms.update(dict.fromkeys(_SIGNATURES["rsa"] if name == "ssh-rsa" else (name,)))
    return tuple(algorithms)
