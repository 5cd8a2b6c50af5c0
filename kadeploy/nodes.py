# SPDX-License-Identifier: Apache-2.0
"""Names of nodes and node sets, in the syntax of ClusterShell, behind a guard on their size.

A node set such as ``node-[1-99999999]`` expands for minutes and fills the memory, so the product of its
ranges is bounded before the library parses the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException

from kadeploy.errors import UsageError

MAX_NODES = 20_000
MAX_TEXT = 1_000_000  # characters of one node set, before anything is parsed

_ALLOWED = re.compile(r"[A-Za-z0-9.,_\[\]/-]+")
_NAME = re.compile(r"[A-Za-z0-9._-]+")  # the library would expand others, or refuse them
_BRACKET = re.compile(r"\[([^\[\]]*)\]")


def _width(ranges: str) -> int:
    """Upper bound of the elements of ``1-3,7,10-12/2``; text that is no number counts one."""
    width = 0
    for part in ranges.split(","):
        first, dash, last = part.split("/")[0].partition("-")
        if dash and first.isdigit() and last.isdigit():
            width += max(int(last) - int(first), 0) + 1
        else:
            width += 1
    return width


def _guard(text: str) -> None:
    if not text:
        raise UsageError("a node set is empty", hint="write node-[1-3,7].site.tld")
    if len(text) > MAX_TEXT:
        raise UsageError(f"a node set of {len(text)} characters is too long (at most {MAX_TEXT})")
    if not _ALLOWED.fullmatch(text):
        wrong = sorted(set(re.sub(_ALLOWED, "", text)))
        raise UsageError(
            f"'{text[:80]}' is not a node set: {' '.join(map(repr, wrong))} not allowed",
            hint="write node-[1-3,7].site.tld",
        )
    size = 1
    for ranges in _BRACKET.findall(text):
        if any(len(number) > 9 for number in re.findall(r"\d+", ranges)):
            raise UsageError(f"'{text[:80]}' has a number of more than 9 digits")
        size *= _width(ranges)
        if size > MAX_NODES:
            raise UsageError(
                f"'{text[:80]}' would name more than {MAX_NODES} nodes", hint="split the node set"
            )


def parse(text: str) -> list[str]:
    """Node names of a folded set, each once, in the set's own order.

    Raises UsageError for text that is no node set or names more than MAX_NODES nodes.
    """
    text = text.strip()
    _guard(text)
    try:
        return list(NodeSet(text, resolver=RESOLVER_NOGROUP))
    except NodeSetException as error:
        raise UsageError(f"'{text[:80]}' is not a node set: {error}") from error


def expand_range(text: str) -> list[str]:
    """Parse a node set, in the order of the text, so that ``10.0.0.[1-3]`` pairs with ``node-[1-3]``."""
    names: list[str] = []
    for part in re.split(r",(?![^\[]*\])", text.strip()):
        names.extend(parse(part))
    return names


def fold(names: Iterable[str]) -> str:
    """Fold node-1, node-2, node-3 to ``node-[1-3]``; what cannot be a name comes behind, as it is."""
    given = list(names)
    good = [name for name in given if _NAME.fullmatch(name)]
    folded = str(NodeSet.fromlist(good, resolver=RESOLVER_NOGROUP))
    return ",".join(filter(None, [folded, *(name for name in given if not _NAME.fullmatch(name))]))


def in_order(names: Iterable[str]) -> list[str]:
    """Sort names in the order in which people count: node-2 before node-10."""
    return list(NodeSet.fromlist(list(names), resolver=RESOLVER_NOGROUP))


def unique(names: Iterable[str]) -> list[str]:
    """Drop repeated names: OAR repeats a node once per core."""
    return list(dict.fromkeys(names))
