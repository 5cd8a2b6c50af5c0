# SPDX-License-Identifier: Apache-2.0
"""Lists of nodes of a command line and of node files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from kadeploy import nodes
from kadeploy.errors import FileError, FileProblem, NotFoundError, UsageError

MAX_NODE_FILE = 16 * 1024 * 1024  # bytes; OAR repeats the name of a node once per core


def read_nodes(machines: Sequence[str], files: Sequence[str]) -> list[str]:
    """Nodes of ``-m`` and ``-f``, each once, in the order of the command line.

    Raises UsageError for a text that is no node set, FileError with all wrong lines of a file.
    """
    names = [name for text in machines for name in nodes.parse(text)]
    for file in files:
        names.extend(_read_node_file(file))
    names = nodes.unique(names)
    if len(names) > nodes.MAX_NODES:
        raise UsageError(f"{len(names)} nodes are more than the {nodes.MAX_NODES} of one operation")
    return names


def _read_node_file(file: str) -> list[str]:
    names: dict[str, list[str]] = {}
    problems: list[FileProblem] = []
    for number, line in enumerate(_read_text(file).splitlines(), start=1):
        text = line.partition("#")[0].strip()
        if not text or text in names:
            continue
        try:
            names[text] = nodes.parse(text)
        except UsageError as error:
            names[text] = []
            problems.append(FileProblem(file, error.message, number, 1))
    if problems:
        raise FileError(problems)
    return [name for expanded in names.values() for name in expanded]


def _read_text(file: str) -> str:
    try:
        if file == "-":
            content = sys.stdin.buffer.read(MAX_NODE_FILE + 1)
        else:
            with Path(file).open("rb") as stream:
                content = stream.read(MAX_NODE_FILE + 1)
    except OSError as error:
        raise NotFoundError(f"{file} cannot be read: {error.strerror}") from error
    if len(content) > MAX_NODE_FILE:
        raise UsageError(f"{file} is larger than {MAX_NODE_FILE} bytes")
    return content.decode("utf-8", errors="replace")
