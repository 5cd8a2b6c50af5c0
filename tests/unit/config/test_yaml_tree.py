# SPDX-License-Identifier: Apache-2.0
"""YAML of strangers: bounded before anything is made of it, and never changed on the way."""

from __future__ import annotations

import time
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from kadeploy.config.yaml_file import FileModel, parse_text
from kadeploy.errors import FileError


class Written(FileModel):
    """Model with a field of each type that a file may have."""

    text: str = ""
    texts: dict[str, str] = Field(default_factory=dict)
    number: int = 0
    maybe: Annotated[int, Field(ge=0)] | None = None
    share: float = 0
    truth: bool = False
    numbers: tuple[float, ...] = ()


def read(text: str) -> Written:
    return parse_text(text, "f", Written)


def refusal(text: str) -> str:
    began = time.process_time()
    with pytest.raises(FileError) as refused:
        read(text)
    assert time.process_time() - began < 3
    assert len(refused.value.message) < 5000
    return refused.value.message


def bomb(levels: int) -> str:
    names = [
        f"&n{level} [{', '.join([f'*n{level - 1}'] * 10) if level else 'x, x'}]" for level in range(levels)
    ]
    return ", ".join(names)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: " + "[" * 100_000 + "]" * 100_000, "f:1:36: nested deeper than 32 levels"),
        ("? " + "[" * 900 + "]" * 900 + "\n: 1\n", "f:1:35: nested deeper than 32 levels"),
        ("- " * 100_000, "nested deeper than 32 levels"),
        ("{a: " * 100_000, "nested deeper than 32 levels"),
        (f"text: [{bomb(8)}]", "more than 300000 values"),
        (f"? [{bomb(8)}]\n: 1\n", "more than 300000 values"),
        ("a: [" + "x," * 400_000 + "]", "more than 300000 values"),
        ("? [x]\n: 1\n", "f:1:3: a key must be a text"),
        ("? {a: b}\n: 1\n", "f:1:3: a key must be a text"),
        ("text: &a [*a]", "f:1:11: 'a' is nested in itself"),
        ("? &a [*a]\n: 1\n", "f:1:7: 'a' is nested in itself"),
        ("text: *nobody", "no anchor 'nobody' is above"),
        ("text: !!binary aGk=", "f:1:7: the tag 'binary' is not known here"),
        ("texts: !!set {a, b}", "f:1:8: the tag 'set' is not known here"),
        ("texts: !!omap [a: b]", "f:1:8: the tag 'omap' is not known here"),
        (
            "text: !!python/object/apply:os.system [id]",
            "f:1:7: the tag 'python/object/apply:os.system' is not",
        ),
        ("text: !<tag:me> x", "f:1:7: the tag 'tag:me' is not known here"),
        (
            "".join(f"%TAG !t{number}! tag:{number}\n" for number in range(30_000)) + "--- a",
            "f:1:1: tags are",
        ),
        ("text: a\n---\ntext: b\n", "f:2:1: a second document is not allowed"),
        ("text: a\ntext: b\n", "f:2:1: 'text' is given twice"),
        ("text: [", "f:2:1: not YAML: while parsing a flow node did not find expected node content"),
        (f"? {'k' * 100_000}\n: 1", "k…' is not known here"),
        ("\n".join(f"k{number}: 1" for number in range(5000)), "and 4900 more"),
    ],
    ids=range(23),
)
def test_what_is_too_much_or_no_text_is_refused_with_its_place(text: str, message: str) -> None:
    assert message in refusal(text)


def test_aliases_and_merged_mappings_are_read() -> None:
    assert read("texts: &t {a: b}\ntext: x\n").texts == {"a": "b"}
    assert read("texts: {<<: {a: b, c: d}, a: own}").texts == {"a": "own", "c": "d"}
    assert read("texts: {<<: [{a: 1}, {a: 2, b: 3}]}").texts == {"a": "1", "b": "3"}
    assert read("texts: {a: &x one, b: *x}").texts == {"a": "one", "b": "one"}


WORDS = (
    "52:54:00:12:34:56 022 0755 yes no off True 1:30 1_000 0x1F 0o17 3.10 2024-01-02 1e3 .5 .inf +5 -0 = 0b11"
)


@pytest.mark.parametrize("text", [*WORDS.split(), "9" * 5000, "2001:db8::1", "12:30:45.5"])
def test_a_text_stays_as_it_was_written(text: str) -> None:
    assert read(f"text: {text}").text == text
    assert read(f"texts: {{A: {text}}}").texts == {"A": text}
    assert read(f"texts: {{? {text} : A}}").texts == {text: "A"}
    assert read(f"text: !!str {text}").text == text


@pytest.mark.parametrize("key", ["number", "maybe", "share", "numbers"])
@pytest.mark.parametrize(
    "text",
    ["010", "1:30", "1_000", "0x1F", "0o17", "0b11", "+5", "yes", "1e3", ".inf", ".nan", "9" * 5000, "'010'"],
)
def test_a_number_is_written_in_decimal_digits(key: str, text: str) -> None:
    value = f"[1, {text}]" if key == "numbers" else text
    assert refusal(f"text: a\n{key}: {value}\n").startswith(f"f:2:{len(key) + 3}: {key}: '")


@pytest.mark.parametrize("text", ["1.0", "5.5", "true", "2024-01-02"])
def test_a_whole_number_has_no_point(text: str) -> None:
    assert "no whole number in decimal digits" in refusal(f"number: {text}")


def test_numbers_and_truths() -> None:
    assert read("{number: 5, maybe: '6', share: -0.25, numbers: [1, 2.5], truth: true}") == Written(
        number=5, maybe=6, share=-0.25, numbers=(1.0, 2.5), truth=True
    )
    assert read("maybe:") == read("maybe: null") == read("maybe: ~") == Written(maybe=None)
    for word in ("true", "True", "yes", "ON"):
        assert read(f"truth: {word}").truth
    for word in ("false", "No", "off"):
        assert not read(f"truth: {word}").truth
    assert "'1' is neither true nor false" in refusal("truth: 1")


MARKS = "text number : - [ ] { } , *a << %TAG 010 1:30 yes ~ # --- ... é \\ @ ` = 0 \" '"
BLANKS = (" ", "\n", "\t", "- ", "&a ", "!!int ", "? ", "|\n", "\x85", "\u202e")
PIECES = st.sampled_from([*MARKS.split(), *BLANKS])


@given(st.lists(PIECES, max_size=40).map("".join) | st.text())
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    found: Any = None
    try:
        found = read(text)
    except FileError as error:
        assert all(problem.path == "f" for problem in error.problems) and error.problems
    assert found is None or isinstance(found, Written)
