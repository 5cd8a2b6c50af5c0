# SPDX-License-Identifier: Apache-2.0
"""Public keys that users give: what lets somebody in is taken, and everything else is refused by its line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import asyncssh
import pytest

from kadeploy.errors import RequestError
from kadeploy.operations import public_keys

ED = asyncssh.generate_private_key("ssh-ed25519", comment="me")
GOOD = ED.export_public_key().decode()
KINDS = ["ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp521", "ssh-ed25519"]
SECURITY_KEY = (
    "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAABAgMEBQYHCAkKCwwNDg8QERIT"
    "FBUWFxgZGhscHR4fAAAABHNzaDo= token"
)
# A type of a later version, of a whole key.
LATER = "ssh-new@example.org AAAAE3NzaC1uZXdAZXhhbXBsZS5vcmcAAAADAQID"


def number(value: object) -> str | None:
    """Names of cases: the keys differ in each process."""
    return None if isinstance(value, int) else "text"


def certificate() -> str:
    made = ED.generate_user_certificate(ED, "me")
    return made.export_certificate().decode()


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_keys(kind: str) -> None:
    key = asyncssh.generate_private_key(kind, comment="PC of é").export_public_key()
    assert public_keys.read(key, "k").encode() == key


@pytest.mark.parametrize(
    "line",
    [
        f'from="10.0.0.0/8,*.example.org",command="echo \\"x\\" #y",no-pty {GOOD}',
        f"restrict,pty {GOOD}",
        f'permitopen="none" {GOOD}',
        f'restrict,permitlisten="localhost:8080",expiry-time="20300101Z" {GOOD}',
        f'a-later-option="of \\"one\\" version, x",No-PTY {SECURITY_KEY}',
        f'environment="A" {GOOD}',
        f"cert-authority {GOOD}",
        f"   {GOOD}",
        GOOD.replace(" ", "\t"),
        GOOD.replace(" me", ""),
        SECURITY_KEY,
        LATER,
        f"# a comment\n\n{GOOD}",
    ],
    ids=number,
)
def test_lines_that_let_somebody_in(line: str) -> None:
    assert public_keys.read(line.encode(), "k") == line
    public_keys.check(line)


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_a_byte_order_mark_and_line_ends_are_no_part_of_a_key(end: str) -> None:
    text = f"# mine{end}{GOOD.strip()}{end}"
    assert public_keys.read(b"\xef\xbb\xbf" + text.encode(), "k") == f"# mine\n{GOOD}"


PUTTY = "PuTTY-User-Key-File-{}: ssh-ed25519\nEncryption: none\nComment: x\nPublic-Lines: 1\nAAAA\n"
BODY = "".join(ED.export_private_key().decode().splitlines()[1:-1])


@pytest.mark.parametrize(
    ("content", "line"),
    [
        *[(ED.export_private_key(form), 1) for form in ("openssh", "pkcs8-pem")],
        (asyncssh.generate_private_key("ssh-rsa").export_private_key("pkcs1-pem"), 1),
        (ED.export_private_key("pkcs8-pem", passphrase="x"), 1),
        (PUTTY.format(3).encode() + b"Private-Lines: 1\nAAAA\n", 1),
        (PUTTY.format(2).encode(), 1),
        (b"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n", 1),
        (b"SSH PRIVATE KEY FILE FORMAT 1.1\n\0\0", 1),
        (b"# created: 2026\nAGE-SECRET-KEY-1QQ\n", 2),
        (BODY.encode(), 1),
        (b'{"kty":"OKP","crv":"Ed25519","x":"AA","d": "AA"}', 1),
        (GOOD.encode() + ED.export_private_key(), 2),
        (b"\r\n".join([GOOD.strip().encode(), *ED.export_private_key().splitlines()]), 2),
        (ED.export_private_key().decode().encode("utf-16"), 1),
        (b"\xef\xbb\xbf" + ED.export_private_key(), 1),
    ],
    ids=number,
)
def test_private_keys_are_given_to_nobody(content: bytes, line: int) -> None:
    with pytest.raises(RequestError) as caught:
        public_keys.read(content, "/home/me/key")
    assert caught.value.message == f"`keys`: /home/me/key:{line}: {public_keys.IS_PRIVATE}"
    assert caught.value.hint == public_keys.GIVE_PUBLIC


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD.encode("utf-16"), "k:1:1: UTF-16 text, not UTF-8"),
        (GOOD.encode("utf-16-le"), "k:1:2: the control character U+0000 is not allowed"),
        (b"<!DOCTYPE html>\n<html>login</html>", "k:1: a web page, no public keys"),
        (GOOD[:60].encode(), "k:1: a public key that was cut off or damaged"),
        (GOOD[:61].encode(), "k:1: a public key that was cut off or damaged"),
        (
            f"{GOOD[:40]}\n{GOOD[40:]}".encode(),
            "k:1: a public key that was cut off or damaged; `keys`: k:2: no ",
        ),
        (f"{GOOD}404 page not found\n".encode(), "k:2: no public key"),
        (certificate().encode(), "k:1: a certificate, which lets nobody in"),
        (
            GOOD.replace("ssh-ed25519 ", "ssh-rsa ").encode(),
            "k:1: a public key that was cut off or damaged",
        ),
        (f"from=10.0.0.1 {GOOD}".encode(), "k:1: no public key, or wrong options before it"),
        (f"no-pty, {GOOD}".encode(), "k:1: no public key, or wrong options before it"),
        (f"no-pty restrict {GOOD}".encode(), "k:1: no public key, or wrong options before it"),
        (f'command="x\\\\" {GOOD}'.encode(), "k:1: no public key, or wrong options before it"),
        (f'from="10.0.0.1 {GOOD}'.encode(), "k:1: no public key, or wrong options before it"),
        (ED.export_public_key("rfc4716"), "k:1: a public key in another format"),
        (ED.export_public_key("pkcs8-pem"), "k:1: a public key in another format"),
        (b"# nothing\n\n", "k holds no public keys"),
        (b"", "k holds no public keys"),
        (b"age1qqqq\n", "k:1: no public key"),
        (b"x" * (public_keys.MAX_KEYS + 1), "k has more than 1048576 bytes"),
    ],
    ids=number,
)
def test_what_lets_nobody_in_is_refused_by_its_line(content: bytes, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        public_keys.read(content, "k")
    assert caught.value.message.startswith(f"`keys`: {message}")
    assert GOOD[30:50] not in caught.value.message


def test_the_keys_of_a_request_are_refused_by_its_field() -> None:
    public_keys.check("")
    with pytest.raises(RequestError) as caught:
        public_keys.check(f"{GOOD}nonsense\n")
    assert [str(problem) for problem in caught.value.problems] == ["`keys`: line 2: no public key"]


@pytest.mark.parametrize(("form", "option"), [("rfc4716", "-i"), ("pkcs8-pem", "-im")])
def test_other_formats_can_be_converted_as_the_hint_says(tmp_path: Path, form: str, option: str) -> None:
    path = tmp_path / "other.pub"
    path.write_bytes(asyncssh.generate_private_key("ssh-rsa").export_public_key(form))
    with pytest.raises(RequestError) as caught:
        public_keys.read(path.read_bytes(), str(path))
    command = caught.value.hint.partition(" prints")[0].replace("FILE", str(path))
    done = subprocess.run(command.split(), check=True, capture_output=True)
    assert public_keys.read(done.stdout, "k")
    assert option[:2] in command
