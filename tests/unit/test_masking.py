# SPDX-License-Identifier: Apache-2.0
"""No secret of a boot is shown, in however many pieces it comes, and everything else is."""

from __future__ import annotations

import secrets
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kadeploy.masking import SECRET_PARAMETER, MaskedStream, masked

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
