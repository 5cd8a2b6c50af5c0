# SPDX-License-Identifier: Apache-2.0
"""Lists of nodes of a command line, of node files, and of jobs of batch schedulers."""

from __future__ import annotations

import os
from collections.abc import Sequence

from kadeploy import nodes, text_file
from kadeploy.cli.options import NodeOptions
from kadeploy.cli.standard_streams import tell
from kadeploy.errors import FileError, FileProblem, UsageError

MAX_NODE_FILE = 16 * 1024 * 1024  # bytes; OAR repeats the name of a node once per core
NODE_FILE_VARIABLES = ("OAR_NODE_FILE", "OAR_FILE_NODES", "OAR_NODEFILE")
NODE_SET_VARIABLE = "SLURM_JOB_NODELIST"


def node_names(options: NodeOptions) -> list[str]:
    """Nodes of -f and -m, or those of the batch scheduler's job."""
    machines, files = options.machines, options.files
    if not machines and not files:
        machines, files = _job_nodes()
    names = read_nodes(machines, files)
    if not names:
        raise UsageError("no node is chosen", hint="give -m NODES or -f FILE")
    return names


def _job_nodes() -> tuple[tuple[str, ...], tuple[str, ...]]:
    for variable in NODE_FILE_VARIABLES:
        if os.environ.get(variable):
            tell(f"nodes of {variable}: {os.environ[variable]}")
            return (), (os.environ[variable],)
    if os.environ.get(NODE_SET_VARIABLE):
        tell(f"nodes of {NODE_SET_VARIABLE}: {os.environ[NODE_SET_VARIABLE]}")
        return (os.environ[NODE_SET_VARIABLE],), ()
    return (), ()


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
    content = text_file.read_argument(file, MAX_NODE_FILE)
    lines = text_file.lines(text_file.decode(content, file, any_comments=True))
    for number, line in enumerate(lines, start=1):
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
