# SPDX-License-Identifier: Apache-2.0
"""Text of files: what is read of any coding, and what is refused with its place."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kadeploy import text_file
from kadeploy.errors import FileError, NotFoundError


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_marks_and_ends_of_lines_of_all_systems(mark: bytes, end: bytes) -> None:
    content = mark + end.join([b"a", "\u00e9\t".encode(), b""])
    assert text_file.decode(content, "f") == "a\n\u00e9\t\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a".encode("utf-16"), "f:1:1: UTF-16 text, not UTF-8"),
        (codecs.BOM_UTF16_BE + "a".encode("utf-16-be"), "f:1:1: UTF-16 text, not UTF-8"),
        ("a".encode("utf-32"), "f:1:1: UTF-32 text, not UTF-8"),
        ("a".encode("utf-16-le"), "f:1:2: the control character U+0000 is not allowed"),
        (b"a\r\nB\xfcro", "f:2:2: not UTF-8 text: byte 0xfc"),
        (b"\xef\xbb\xbf\xff", "f:1:1: not UTF-8 text: byte 0xff"),
        (b"a\n\x1b[2J", "f:2:1: the control character U+001B is not allowed"),
        (b"a\x0cb", "f:1:2: the control character U+000C is not allowed"),
        ("a\u0085b".encode(), "f:1:2: the control character U+0085 is not allowed"),
        ("a\u2028b".encode(), "f:1:2: the control character U+2028 is not allowed"),
        (b"a\n" + codecs.BOM_UTF8 + b"b", "f:2:1: the control character U+FEFF is not allowed"),
    ],
)
def test_what_is_no_text_is_refused_with_its_place(content: bytes, message: str) -> None:
    with pytest.raises(FileError) as refused:
        text_file.decode(content, "f")
    assert refused.value.message == message


def test_comments_may_be_in_any_coding() -> None:
    assert text_file.decode(b"n-1 # B\xfcro\r\n", "f", any_comments=True) == "n-1 # B\ufffdro\n"
    with pytest.raises(FileError):
        text_file.decode(b"n-1 # \0", "f", any_comments=True)


@given(st.binary())
def test_any_bytes_are_text_or_refused(content: bytes) -> None:
    try:
        text = text_file.decode(content, "f")
    except FileError as error:
        assert error.problems[0].line >= 1 and error.problems[0].column >= 1
    else:
        assert not {"\r", "\0", "\x1b", "\x9b", "\ufeff"} & set(text)
        assert "\n".join(text_file.lines(text)) == text


def test_no_more_is_read_than_asked_for(tmp_path: Path) -> None:
    assert text_file.read(Path("/dev/zero"), 10) == bytes(11)
    with pytest.raises(NotFoundError, match="cannot be read: Is a directory"):
        text_file.read(tmp_path, 10)
    with pytest.raises(NotFoundError, match="cannot be read: embedded null byte"):
        text_file.read(Path("a\0b"), 10)
