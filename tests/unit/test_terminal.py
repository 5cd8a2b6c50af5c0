# SPDX-License-Identifier: Apache-2.0
"""Nothing of what others wrote gives orders to a terminal, and what is harmless stays as it is."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kadeploy.terminal import printable, printable_line

HARMLESS = st.text(
    st.characters(exclude_categories=["C", "Zl", "Zp", "Zs"], include_characters=" \n\t")
)  # fmt: skip


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    shown = printable(text)
    assert {unicodedata.category(character)[0] for character in shown if character not in "\n\t"} <= set(
        "LMNPSZ"
    )
    assert {unicodedata.category(character) for character in shown}.isdisjoint({"Zl", "Zp"})
    assert printable(shown) == shown


@given(st.text())
def test_characters_are_left_out_never_changed(text: str) -> None:
    rest = iter(text)
    assert all(character in rest for character in printable(text)), "in their order"


@given(HARMLESS)
def test_what_is_harmless_stays(text: str) -> None:
    assert printable(text) == text
    assert printable_line(text) == text.replace("\n", "")


@given(st.text())
def test_a_line_is_one(text: str) -> None:
    line = printable_line(text)
    assert len(line.splitlines()) <= 1
    assert line == printable_line(printable(text))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07\x1b[2J", "]0;title[2J"),
        ("50 %\r100 %", "50 %100 %"),
        ("a\x9b31mb", "a31mb"),
        ("safe\u202egpj.exe", "safegpj.exe"),
        ("\udcff\ue000\u2028", ""),
        ("Débian\t12\n", "Débian\t12\n"),
    ],
)
def test_examples(text: str, shown: str) -> None:
    assert printable(text) == shown
