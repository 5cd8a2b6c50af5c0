# SPDX-License-Identifier: Apache-2.0
"""Messages and hints below the commands: they name fields and use cases, never an option or a command."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kadeploy.cli import fields

KADEPLOY = Path(__file__).parents[2] / "kadeploy"
COMMANDS = "kadeploy|kareboot|kapower|kaenv|kastat|kanodes|kacast|karights|kasite|kalab"
# An option behind a blank or a quote, or one of our commands with a word that is no English behind it.
OPTION = re.compile(
    rf"(?:^|[\s'\"(])(--[a-z][a-z-]*|-[a-z])(?![\w-])|\b({COMMANDS})3? (-|up\b|down\b|console\b)"
)
FOREIGN = {  # programs that are not ours
    "compress it where it is made: zstd -10 --long",
    "ssh-keygen -i -f FILE prints it as OpenSSH has it",
    "ssh-keygen -i -m PKCS8 -f FILE prints it as OpenSSH has it",
}
NAME = re.compile(r"`([^`]*)`")
MAKERS = re.compile(r"(Error|Problem|Warning)$|^_?problem$|^(warning|error|info|exception)$")
TELLING = re.compile(
    r"hint|advice|message|problem|todo|what|_told|_no_|unknown|exists|unreadable", re.IGNORECASE
)


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Modules below the commands by their paths."""
    for path in sorted(KADEPLOY.rglob("*.py")):
        if path.relative_to(KADEPLOY).parts[0] != "cli":
            yield str(path.relative_to(KADEPLOY)), ast.parse(path.read_bytes())


def texts(node: ast.AST) -> Iterator[str]:
    """String constants of an expression, parts of f-strings among them."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value


def name_of(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def messages(module: ast.Module) -> Iterator[str]:
    """Texts that end in an error, a hint, a warning or an advice."""
    for node in ast.walk(module):
        match node:
            case ast.Call(func=function) if MAKERS.search(name_of(function)):
                yield from texts(node)
            case ast.keyword(arg=str(name), value=value) if TELLING.search(name):
                yield from texts(value)
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AugAssign(target=ast.Name(id=name), value=value)
            ) if TELLING.search(name):
                yield from texts(value)
            case ast.FunctionDef(name=name) if TELLING.search(name):
                for statement in ast.walk(node):
                    if isinstance(statement, ast.Return | ast.Yield) and statement.value is not None:
                        yield from texts(statement.value)


FOUND = {path: sorted(set(messages(module))) for path, module in modules()}


def options_in(text: str) -> list[str]:
    """Options and command lines of ours in a message."""
    return [] if text in FOREIGN else [match[0] for match in OPTION.finditer(text)]


def test_messages_name_no_option() -> None:
    assert len(FOUND) > 100 and sum(map(len, FOUND.values())) > 500
    found = [(path, text) for path, all_of_it in FOUND.items() for text in all_of_it if options_in(text)]
    assert found == []


def test_what_they_name_is_known_to_the_commands() -> None:
    known = {name for table in (fields.USE_CASES, *fields.FIELDS.values()) for name in table}
    named = {
        (path, name)
        for path, all_of_it in FOUND.items()
        for text in all_of_it
        for name in NAME.findall(text)
        if not any(letter in name for letter in " {}/")
    }
    assert {("operations/deploy/request.py", "min_ok"), ("operations/run/resumption.py", "list")} <= named
    assert sorted((path, name) for path, name in named if name not in known) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("--from: this workflow does not run ", ["--from"]),
        ("use shared: others name the owner with -u", [" -u"]),
        ("'kalab down --name ", ["kalab down", " --name"]),
        ("kaenv -l lists those you may use", ["kaenv -"]),
        ("start one with 'kalab up -n 3'", ["kalab up", " -n"]),
        ("or name another one with (-x", ["(-x"]),
        ("the version of kadeploy has changed", []),
        ("names of node-[1-3] - and others", []),
        ("give up: `abandon` D-1", []),
        ("run bin/build-deploy-env again", []),
    ],
)
def test_options_are_found(text: str, found: list[str]) -> None:
    assert sorted(options_in(text)) == sorted(found)
