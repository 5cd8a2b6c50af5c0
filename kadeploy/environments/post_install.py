# SPDX-License-Identifier: Apache-2.0
"""Archives of post-installs: problems that a node would find after its disk was erased."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from kadeploy.environments import recognition, script
from kadeploy.environments.compression import Compression
from kadeploy.environments.tree import FileKind, Tree
from kadeploy.environments.unpacking import DamagedFileError, read_file, read_tree, unpacking
from kadeploy.errors import RefusedError

MAX_SHOWN = 5  # names in a hint


def check(
    path: Path, name: str, compression: Compression, words: Sequence[str], stopped: threading.Event
) -> bytes:
    """Check an archive and the script in it, if there is one, of which the first bytes are returned.

    Raises RefusedError. ``name`` is for messages, ``words`` are the script and its arguments. Blocks;
    InterruptedError when ``stopped`` is set.
    """
    tree = Tree()
    most = compression.facts.looked_into
    try:
        with unpacking(path, compression, most, stopped) as unpacked:
            head = unpacked.head()
            if not recognition.is_tar(head) and any(head):
                what = recognition.describe(head) or "something else"
                raise RefusedError(f"{name} must be a tar archive, but holds {what}")
            read_tree(unpacked, tree)
        if not words or unpacked.cut:
            return b""
        place = _script(tree, name, words[0])
        with unpacking(path, compression, most, stopped) as unpacked:
            head = read_file(unpacked, tree, place, script.HEAD)
    except DamagedFileError as error:
        raise RefusedError(f"{name} is damaged: {error}") from error
    if problem := script.problem(head):
        raise RefusedError(f"{words[0]} of {name} {problem}", hint=script.AS_UNIX)
    return head


def _script(tree: Tree, name: str, path: str) -> str:
    """Place of the script in the archive, links followed."""
    found = tree.find(path)
    if found is None or found[1].kind is not FileKind.FILE:
        shown = tree.files[:MAX_SHOWN]
        rest = ", ..." if len(tree.files) > MAX_SHOWN else ""
        hint = f"it has {', '.join(shown)}{rest}" if shown else "it has no files"
        raise RefusedError(f"{name} has no {path}, which is to be run", hint=hint)
    place, entry = found
    if not entry.mode & 0o111:
        raise RefusedError(f"{path} of {name} is not executable", hint=f"chmod +x {path}, and pack it again")
    return place
