# SPDX-License-Identifier: Apache-2.0
"""Proof of a miniOS that its host key is that of the boot which was ordered.

The boot profile carries a secret. The miniOS makes a host key, and writes into /run/kadeploy/proof the id
of its boot and the HMAC-SHA256 (RFC 2104) of key and id by the secret; its script is identity.sh. Whoever was
not served the secret can neither make a proof nor use that of another key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Self

PROOF_PATH = "/run/kadeploy/proof"

_PROOF = re.compile(r"([0-9a-f-]{36}) ([0-9a-f]{64})\n?")


@dataclass(frozen=True, slots=True)
class Proof:
    """Proof as a miniOS has written it: the id of its boot (random_boot_id of Linux), and the HMAC."""

    boot_id: str
    code: str

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Proof from the content of the file, None where it is none."""
        found = _PROOF.fullmatch(text)
        return cls(*found.groups()) if found else None

    def proves(self, host_key: str, secret: str) -> bool:
        """True if it was made for this host key (a public key line, its first two words) by this secret."""
        return bool(secret) and hmac.compare_digest(self.code, prove(host_key, self.boot_id, secret))


def prove(host_key: str, boot_id: str, secret: str) -> str:
    """HMAC of a host key and the id of a boot, in hexadecimal."""
    text = f"{' '.join(host_key.split()[:2])} {boot_id}"
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
