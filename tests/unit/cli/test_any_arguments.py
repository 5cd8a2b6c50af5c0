# SPDX-License-Identifier: Apache-2.0
"""Any arguments and files of a user: a command answers with a sentence and a status, never unexpectedly."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kadeploy.errors import ExitStatus
from tests.nightly import examples
from tests.unit.cli.conftest import Command

# What keeps a command from doing anything to a node or a lab.
COMMANDS = {
    "kadeploy": ["--dry-run"],
    "kareboot": ["--dry-run"],
    "kapower": ["--dry-run"],
    "kaenv": [],
    "kastat": [],
    "kanodes": [],
    "kacast": ["nothing-to-send"],
}
# Arguments without which most others are not looked at.
BEGINNINGS = {
    "kadeploy": [[], ["-m", "node-1"], ["-m", "node-1", "-e", "x"], ["-m", "node-1", "-a", "good.yaml"]],
    "kareboot": [[], ["-m", "node-1"], ["-m", "node-1", "-r", "simple"], ["-m", "node-1", "-r", "set_pxe"]],
    "kapower": [[], ["-m", "node-1", "--status"], ["-m", "node-1", "--on"]],
    "kaenv": [[], ["-a", "good.yaml"], ["-l"], ["-p", "x"], ["-d", "x"]],
    "kastat": [[], ["-d"], ["--steps"]],
    "kanodes": [[], ["-m", "node-1"], ["-a"], ["-w", "last"]],
}
MOST = 500  # examples of a command by night: some minutes of all
FILES = {
    "good.yaml": b"name: x\nos: linux\nfilesystem: ext4\nimage: {file: i, kind: tar, compression: gzip}\n",
    "deep.yaml": b"a: " + b"[" * 50_000,
    "latin.yaml": "name: B\u00fcro\n".encode("latin-1"),
    "mark.txt": "node-1\n".encode("utf-16"),
    "nodes.txt": b"\xef\xbb\xbfnode-1\r\nnode-2 # B\xfcro\r\n",
    "nul.txt": b"node-1\0\n",
    "empty": b"",
    "digits.yaml": b"version: " + b"9" * 5000 + b"\nsteps: {1: 1}\nfaults: [1]\n",
}
NAMES = [*FILES, "missing", ".", "/proc/self/mem", "unreadable", "loop", "n" * 300]
TEXTS = [
    *(
        "",
        "-",
        "0",
        "-1",
        "1e99",
        "9" * 30,
        "9" * 5000,
        "0x10",
        "1_000",
        "nan",
        "inf",
        "%",
        "110%",
        "n" * 5000,
    ),
    *(
        "node-1",
        "node-[1-4]",
        "node-[1-999999999]",
        "node-[4-1]",
        "node-[",
        "node-[1-2/0]",
        "@all",
        "a[1-2][1-2]",
    ),
    *(
        "\x1b[2J",
        "\u202e",
        "\u00e9",
        "\ud7ff",
        "a:b:c",
        "http://me:secret@127.0.0.1:1/x",
        "http://[",
        "ftp://x",
    ),
    *(
        "D-0",
        "2026-13-45",
        "2026-01-01 25:00:00",
        "now",
        "9999999999999",
        "1,2",
        ",",
        "a,b,a",
        "SetDeploymentEnv|x:1:1&y",
    ),
]


def command_of(name: str) -> click.Command:
    found = importlib.import_module(f"kadeploy.cli.{name}").main
    return next(
        value
        for value in vars(importlib.import_module(found.__module__)).values()
        if isinstance(value, click.Command)
    )


def values(option: click.Parameter) -> st.SearchStrategy[list[str]]:
    names = [name for name in option.opts if name.startswith("-")]
    if not names or getattr(option, "is_flag", False):
        return st.sampled_from([[name] for name in names] or [[]])
    # What is a path only gets names in the directory of the test.
    texts = st.sampled_from(NAMES)
    if not isinstance(option.type, click.Path):
        texts |= st.sampled_from(TEXTS) | st.text(max_size=20).filter(
            lambda text: "\0" not in text and "/" not in text
        )
    return st.tuples(st.sampled_from(names), texts).map(list)


def arguments(name: str) -> st.SearchStrategy[list[str]]:
    options = [option for option in command_of(name).params if option.name != "help"]
    one = st.sampled_from(options).flatmap(values)
    others = st.lists(one, max_size=4).map(lambda lists: [word for words in lists for word in words])
    return st.tuples(st.sampled_from(BEGINNINGS.get(name, [[]])), others).map(lambda both: both[0] + both[1])


@pytest.fixture
def ready(command: Command, tmp_path: Path) -> Iterator[Command]:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "unreadable").write_bytes(b"x")
    (tmp_path / "unreadable").chmod(0)
    (tmp_path / "loop").symlink_to("loop")
    yield command


@pytest.mark.parametrize("name", COMMANDS)
@settings(
    max_examples=min(examples(15), MOST),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_arguments_are_unexpected(ready: Command, name: str, data: st.DataObject) -> None:
    given_ = [word for word in data.draw(arguments(name)) if all(not "\ud800" <= c <= "\udfff" for c in word)]
    done = ready(name, *given_, *COMMANDS[name], text="")
    assert done.returncode in set(ExitStatus), (given_, done)
    assert "unexpected error" not in done.stderr and "Traceback" not in done.stderr, (given_, done)
    assert "secret" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
