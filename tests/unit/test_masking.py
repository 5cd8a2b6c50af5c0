# SPDX-License-Identifier: Apache-2.0
"""No secret of a boot is shown, in however many pieces it comes, nor a password; everything else is."""

from __future__ import annotations

import secrets
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kadeploy.errors import FileError, FileProblem, NodeError
from kadeploy.masking import SECRET_PARAMETER, MaskedStream, masked, masked_values

SECRET = secrets.token_hex(32)
TEMPLATE = "Command line: kkadeploy.boo kadeploy.boot={} kadeploy.booti=1 quiet\r\nkadeploy.boot={}\r\n"
LINE, SHOWN = TEMPLATE.format(SECRET, SECRET), TEMPLATE.format("***", "***")


def test_text() -> None:
    assert masked(LINE) == SHOWN and masked(SHOWN) == SHOWN
    assert masked("kadeploy.boot=") == "kadeploy.boot="


@given(st.lists(st.integers(0, len(LINE))))
def test_in_pieces(cuts: list[int]) -> None:
    stream, edges = MaskedStream(), [0, *sorted(cuts), len(LINE)]
    pieces = [LINE.encode()[first:last] for first, last in pairwise(edges)]
    assert b"".join(map(stream.feed, pieces)).decode() == SHOWN


@given(st.lists(st.binary()))
def test_what_has_no_secret_stays(pieces: list[bytes]) -> None:
    stream = MaskedStream()
    for piece in pieces:
        shown = stream.feed(piece)
        assert shown == piece or SECRET_PARAMETER.encode() in b"".join(pieces)


@pytest.mark.parametrize("piece", [b"k", b"kadeploy", b"kadeploy.boot", b"login: k"])
def test_nothing_is_held_back(piece: bytes) -> None:
    assert MaskedStream().feed(piece) == piece


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:secret@host/i.tgz: HTTP status 404", "http://me:***@host/i.tgz: HTTP status 404"),
        ("'https://me:p@ss:w@host:8080/a@b?c=d@e'", "'https://me:***@host:8080/a@b?c=d@e'"),
        ("http://:secret@host", "http://:***@host"),
        ("HTTPS://ghp_token@host/x", "HTTPS://***@host/x"),
        ("ftp://me:secret@h and http://you:secret@h", "ftp://me:***@h and http://you:***@h"),
        ("http://me:se%40cret@[fe80::1]/", "http://me:***@[fe80::1]/"),
        ("http://host/a:b@c", "http://host/a:b@c"),
        ("ssh root@node-1, server:///i.tgz, me@host:/x", "ssh root@node-1, server:///i.tgz, me@host:/x"),
        ('{"file": "http://me:secret@host/i"}', '{"file": "http://me:***@host/i"}'),
    ],
)
def test_passwords_of_urls(text: str, shown: str) -> None:
    assert masked(text) == shown and masked(shown) == shown


def test_errors_have_no_passwords() -> None:
    error = FileError([FileProblem("http://me:secret@h/x.yaml", "wrong", 1, 1)], hint="http://me:secret@h")
    told = [
        str(error),
        error.message,
        error.hint,
        str(NodeError("x", evidence="http://me:secret@h").evidence),
    ]
    assert "secret" not in " ".join(told) and told[0] == "http://me:***@h/x.yaml:1:1: wrong"


def test_values_of_documents() -> None:
    values = {"a": ["http://me:secret@h", {"b": "http://me:secret@h"}], "c": 1, "d": None}
    assert masked_values(values) == {"a": ["http://me:***@h", {"b": "http://me:***@h"}], "c": 1, "d": None}
