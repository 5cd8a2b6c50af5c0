# SPDX-License-Identifier: Apache-2.0
"""YAML text to a tree of nodes with their marks, and the tree to values.

The parser's events come one at a time, and each is judged before the next one is asked for: depth, number of
values, aliases, tags and keys are bounded before anything is built of them. Values are texts: YAML 1.1 makes
numbers of 1:30, 010 and 1_000, and truths of yes and off. What a text means is for the model to say.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from kadeploy.errors import FileError, FileProblem
from kadeploy.terminal import shown

MAX_DEPTH = 32
MAX_VALUES = 300_000  # of a file, those behind aliases counted each time: 20,000 nodes have 200,000

_TAGS = "tag:yaml.org,2002:"
_NULL = _TAGS + "null"
_STR = _TAGS + "str"
_MAP = _TAGS + "map"
_SEQ = _TAGS + "seq"
_TAGS_OF = {
    yaml.ScalarEvent: {"!", _STR, _NULL, *(_TAGS + name for name in ("int", "float", "bool"))},
    yaml.SequenceStartEvent: {"!", _SEQ},
    yaml.MappingStartEvent: {"!", _MAP},
}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
# The parser takes quadratic time for many of them, before the first event.
_TAG_DIRECTIVE = re.compile(r"^%TAG\b", re.MULTILINE)
_MERGE = "<<"


class Plain(str):
    """Text of a scalar without quotes, which may be meant as a number."""

    __slots__ = ()


def compose(text: str, path: str) -> yaml.Node | None:
    """Tree of a text, None of an empty one; raises FileError for what is no YAML, or too much of it."""
    try:
        return _Composer(text, path).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = " ".join(part for part in (error.context, error.problem) if part)
        place = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise FileError([FileProblem(path, f"not YAML: {shown(message, 200)}", *place)]) from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise FileError([FileProblem(path, f"not YAML: {shown(str(error), 200)}")]) from None


def values(node: yaml.Node | None) -> Any:
    """Values of a tree: mappings, lists, texts, and None for null."""
    if isinstance(node, yaml.MappingNode):
        merged = next((_merged(value) for key, value in node.value if _is_merge(key, value)), {})
        return merged | {key.value: values(value) for key, value in node.value if not _is_merge(key, value)}
    if isinstance(node, yaml.SequenceNode):
        return [values(item) for item in node.value]
    if not isinstance(node, yaml.ScalarNode) or node.tag == _NULL:
        return None
    return node.value if node.style else Plain(node.value)


def problem(path: str, node: yaml.Node | None, message: str) -> FileProblem:
    """Problem at the place of a node, or of the file where there is none."""
    if node is None:
        return FileProblem(path, message)
    return FileProblem(path, message, node.start_mark.line + 1, node.start_mark.column + 1)


def _is_merge(key: yaml.Node, value: yaml.Node) -> bool:
    """True for the key ``<<``, whose mapping, or list of mappings, is put in its place."""
    items = value.value if isinstance(value, yaml.SequenceNode) else [value]
    is_plain = isinstance(key, yaml.ScalarNode) and not key.style
    return is_plain and key.value == _MERGE and all(isinstance(item, yaml.MappingNode) for item in items)


def _merged(value: yaml.Node) -> dict[str, Any]:
    """Values of the mappings behind ``<<``; of those in a list the earlier ones count."""
    result: dict[str, Any] = {}
    for item in value.value if isinstance(value, yaml.SequenceNode) else [value]:
        result = values(item) | result
    return result


class _Composer:
    """Composer of one document."""

    def __init__(self, text: str, path: str) -> None:
        self._text = text
        self._path = path
        self._parser: Any = yaml.CSafeLoader(text)  # used for its events only
        self._anchors: dict[str, tuple[yaml.Node | None, int]] = {}  # nodes, None while open, and their sizes
        self._count = 0
        self._problems: list[FileProblem] = []

    def document(self) -> yaml.Node | None:
        """Node of the only document."""
        if match := _TAG_DIRECTIVE.search(self._text):
            line = self._text.count("\n", 0, match.start()) + 1
            raise FileError([FileProblem(self._path, "tags are not known here", line, 1)])
        self._parser.get_event()
        if self._parser.check_event(yaml.StreamEndEvent):
            return None
        self._parser.get_event()
        root, _ = self._node(0)
        self._parser.get_event()
        if not self._parser.check_event(yaml.StreamEndEvent):
            raise self._error(self._parser.get_event(), "a second document is not allowed")
        if self._problems:
            raise FileError(self._problems)
        return root

    def _node(self, depth: int) -> tuple[yaml.Node, int]:
        """Next node, and the number of values that it is."""
        event = self._parser.get_event()
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if depth > MAX_DEPTH:
            raise self._error(event, f"nested deeper than {MAX_DEPTH} levels")
        self._check_tag(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = None, 0
        before = self._count
        self._add(event, 1)
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(event, depth)
        else:
            node = self._mapping(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node, self._count - before
        return node, self._count - before

    def _alias(self, event: Any) -> tuple[yaml.Node, int]:
        if event.anchor not in self._anchors:
            raise self._error(event, f"no anchor '{shown(event.anchor)}' is above")
        node, size = self._anchors[event.anchor]
        if node is None:
            raise self._error(event, f"'{shown(event.anchor)}' is nested in itself")
        self._add(event, size)
        return node, size

    def _add(self, event: yaml.Event, size: int) -> None:
        self._count += size
        if self._count > MAX_VALUES:
            raise self._error(event, f"more than {MAX_VALUES} values, those behind aliases counted each time")

    def _scalar(self, event: Any) -> yaml.Node:
        tag = event.tag or (_NULL if not event.style and event.value in _NULLS else _STR)
        return yaml.ScalarNode(tag, event.value, event.start_mark, event.end_mark, style=event.style)

    def _sequence(self, event: Any, depth: int) -> yaml.Node:
        items = []
        while not self._parser.check_event(yaml.SequenceEndEvent):
            items.append(self._node(depth + 1)[0])
        return yaml.SequenceNode(_SEQ, items, event.start_mark, self._parser.get_event().end_mark)

    def _mapping(self, event: Any, depth: int) -> yaml.Node:
        pairs = []
        names: set[str] = set()
        while not self._parser.check_event(yaml.MappingEndEvent):
            at = self._parser.peek_event()
            key = self._node(depth + 1)[0]
            if not isinstance(key, yaml.ScalarNode):
                raise self._error(at, "a key must be a text")
            if key.value in names:
                self._complain(at, f"'{shown(key.value)}' is given twice")
            names.add(key.value)
            pairs.append((key, self._node(depth + 1)[0]))
        return yaml.MappingNode(_MAP, pairs, event.start_mark, self._parser.get_event().end_mark)

    def _check_tag(self, event: Any) -> None:
        if event.tag is not None and event.tag not in _TAGS_OF[type(event)]:
            raise self._error(event, f"the tag '{shown(event.tag.removeprefix(_TAGS))}' is not known here")

    def _complain(self, event: yaml.Event, message: str) -> None:
        """Note a problem behind which the text can still be read."""
        self._problems.append(self._at(event, message))

    def _error(self, event: yaml.Event, message: str) -> FileError:
        return FileError([*self._problems, self._at(event, message)])

    def _at(self, event: Any, message: str) -> FileProblem:
        return FileProblem(self._path, message, event.start_mark.line + 1, event.start_mark.column + 1)
