# SPDX-License-Identifier: Apache-2.0
"""Public keys that users give: text of authorized_keys, each line of which must let somebody in.

A private key is never passed on: neither to a node, nor to the store, nor into a message.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from kadeploy import text_file
from kadeploy.errors import FileError, RequestError, RequestProblem

MAX_KEYS = 1024 * 1024  # bytes of a text of authorized_keys
MAX_SHOWN = 5  # problems of one text that are told

_PRIVATE = re.compile(
    r"PRIVATE KEY|PuTTY-User-Key-File|Private-Lines:|AGE-SECRET-KEY-|BEGIN OPENSSH"
    # The key of OpenSSH, and a JSON web key, without a frame around them.
    r'|^b3BlbnNzaC1rZXktdjE|"d"\s*:\s*"'
)
_KEY = re.compile(r"(?:^|\s)(?P<type>[a-z0-9@.-]+)\s+(?P<blob>AAAA[A-Za-z0-9+/]+={0,2})(?:\s|$)")
# Options as sshd separates them: names, some with a value in quotes; of a backslash only \\" has a meaning.
_OPTION = r'[A-Za-z0-9@._-]+(?:="(?:[^"\\]|\\"|\\(?!"))*")?'
_OPTIONS = re.compile(rf"{_OPTION}(?:,{_OPTION})*")
_NUMBER = 4  # bytes of the length of a field

IS_PRIVATE = "a private key, which must not leave its machine"
GIVE_PUBLIC = "give the public key: that of id_ed25519 is in id_ed25519.pub; ssh-keygen -y -f prints it"


def read(content: bytes, place: str) -> str:
    """Text of authorized_keys of a file or a page; raises RequestError with the lines that are wrong."""
    if len(content) > MAX_KEYS:
        raise _refusal([f"{place} has more than {MAX_KEYS} bytes, so it holds no public keys"], "")
    text = _decode(content, place)
    found = problems(text)
    if told := [f"{place}:{line}: {message}" if line else f"{place} {message}" for line, message in found]:
        raise _refusal(told, _hint(text))
    return text


def check(text: str) -> None:
    """Check the keys of a request; raises RequestError with the lines that are wrong."""
    found = problems(text) if text else ()
    if told := [f"line {line}: {message}" if line else message for line, message in found]:
        raise _refusal(told, _hint(text))


def _refusal(messages: list[str], hint: str) -> RequestError:
    return RequestError([RequestProblem("keys", message) for message in messages[:MAX_SHOWN]], hint=hint)


def private_line(text: str) -> int:
    """Number of the first line of a private key, 0 for none."""
    lines = enumerate(text_file.lines(text), start=1)
    return next((number for number, line in lines if _PRIVATE.search(line)), 0)


def problems(text: str) -> Iterator[tuple[int, str]]:
    """Numbers of lines, 0 for all of them, and what is wrong there."""
    if private := private_line(text):
        yield private, IS_PRIVATE
        return
    if text.lstrip().startswith("<"):
        yield 1, "a web page, no public keys"
        return
    keys = 0
    for number, line in enumerate(text_file.lines(text), start=1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        keys += 1
        if problem := _problem(words):
            yield number, problem
            if words.startswith("----"):  # the other lines are of the same key
                return
    if not keys:
        yield 0, "holds no public keys"


def _problem(line: str) -> str:
    """Problem of a line, '' if it is a public key, with options or without."""
    if line.startswith("----"):
        return "a public key in another format than that of OpenSSH"
    match = _KEY.search(line)
    if match is None:
        return "no public key"
    if "-cert-v0" in match["type"]:
        return "a certificate, which lets nobody in: give the public key itself"
    if not _is_whole(match["type"], match["blob"]):
        return "a public key that was cut off or damaged"
    # Which options there are the sshd of the image knows: a later one has others than the library.
    before = line[: match.start("type")].strip()
    if before and not _OPTIONS.fullmatch(before):
        return "no public key, or wrong options before it"
    if _imports(f"{match['type']} {match['blob']}") or not _is_known(match["type"]):
        return ""
    return "no public key"


def _imports(line: str) -> bool:
    import asyncssh  # only here: who gives no key need not wait for it

    try:
        asyncssh.import_authorized_keys(line)
    except ValueError:
        return False
    return True


def _is_known(algorithm: str) -> bool:
    """True for keys that can be judged; one of a later version of OpenSSH is passed on if it is whole."""
    return algorithm in ("ssh-ed25519", "ssh-rsa") or algorithm.startswith(("ecdsa-sha2-", "sk-"))


def _is_whole(algorithm: str, blob: str) -> bool:
    """Check that a key consists of whole fields, of which the first is its type."""
    try:
        data = base64.b64decode(blob, validate=True)
    except binascii.Error:
        return False
    fields = []
    while data:
        size = int.from_bytes(data[:_NUMBER])
        if len(data) < _NUMBER + size:
            return False
        fields.append(data[_NUMBER : _NUMBER + size])
        data = data[_NUMBER + size :]
    return len(fields) > 1 and fields[0] == algorithm.encode()


def _decode(content: bytes, place: str) -> str:
    """Text of a file or page; of one that is no text what tells whether it is a private key."""
    try:
        return text_file.decode(content, place, any_comments=True)
    except FileError as error:
        readable = content.replace(b"\0", b"").decode(errors="replace")  # of UTF-16, too
        if private_line(readable):
            return readable
        raise _refusal([str(problem) for problem in error.problems], error.hint) from None


def _hint(text: str) -> str:
    if private_line(text):
        return GIVE_PUBLIC
    if "---- BEGIN SSH2 PUBLIC KEY" in text:
        return "ssh-keygen -i -f FILE prints it as OpenSSH has it"
    if "PUBLIC KEY-----" in text:
        return "ssh-keygen -i -m PKCS8 -f FILE prints it as OpenSSH has it"
    return "each line is a public key as ssh-keygen writes it to a file .pub, a comment, or empty"
