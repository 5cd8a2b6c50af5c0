# SPDX-License-Identifier: Apache-2.0
"""The proof that a miniOS writes, by its own script, beside what the head expects."""

from __future__ import annotations

import hashlib
import hmac
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kadeploy.boot.proof import Proof, prove

CHECKOUT = Path(__file__).parents[3]
IDENTITY = CHECKOUT / "environments/deploy-env/overlay/usr/lib/kadeploy/identity.sh"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBjUv"
BOOT = "5d2fb1b2-3f0a-4d4a-9c57-0c6e6f6d9a55"
SECRETS = st.text("0123456789abcdef", min_size=64, max_size=64)


def shells() -> list[list[str]]:
    """Shells that this machine has; the miniOS' own is busybox'."""
    found = [["sh"]] if shutil.which("xxd") else []
    return found + ([["busybox", "sh"]] if shutil.which("busybox") else [])


@pytest.mark.skipif(not shells(), reason="needs busybox or xxd")
@settings(max_examples=20, deadline=None)
@given(secret=SECRETS)
def test_the_script_of_the_minios_makes_the_hmac_of_the_standard(secret: str) -> None:
    text = f"{KEY} {BOOT}"
    expected = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    assert prove(KEY, BOOT, secret) == expected
    for shell in shells():
        argv = [*shell, "-c", f'. "{IDENTITY}"; prove "$1" "$2"', "prove", secret, text]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected


def test_a_proof_is_of_one_key_one_boot_and_one_secret() -> None:
    secret = "0123456789abcdef" * 4
    proof = Proof.read(f"{BOOT} {prove(KEY, BOOT, secret)}\n")
    assert proof is not None
    assert proof.proves(KEY, secret)
    assert proof.proves(f"{KEY} miniOS", secret), "a comment is no part of a key"
    assert not proof.proves(f"{KEY}x", secret)
    assert not proof.proves(KEY, secret[::-1])
    assert not proof.proves(KEY, "")
    other_boot = Proof(BOOT.replace("5", "6"), proof.code)
    assert not other_boot.proves(KEY, secret)


@pytest.mark.parametrize(
    "text",
    ["", "x", f"{BOOT} {'0' * 63}", f"{BOOT} {'0' * 64} more", f"{BOOT}\n{'0' * 64}", f"{BOOT} {'G' * 64}"],
)
def test_what_is_no_proof(text: str) -> None:
    assert Proof.read(text) is None
