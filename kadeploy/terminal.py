# SPDX-License-Identifier: Apache-2.0
"""Text of others (nodes, programs, users) made safe for a terminal.

Text goes through ``printable`` or ``printable_line``. Documents must keep every character: JSON is written in
ASCII, as ``json.dumps`` does unless it is told otherwise, and YAML with escapes.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """Remove characters that draw on a terminal or give orders to it.

    Lines and tabs stay. Control and format characters are removed (ESC, among others, and those that reverse
    the order of the text behind them), as are surrogates, private and unassigned characters and line
    separators other than the newline.
    """
    return "".join(character for character in text if character.isprintable() or character in "\n\t")


def printable_line(text: str) -> str:
    """Remove the same characters and every newline."""
    return printable(text).replace("\n", "")


def shown(text: str, width: int = 80) -> str:
    """One line of a text that stands within a sentence, at most ``width`` characters of it."""
    line = printable_line(text[: 4 * width])
    return line if len(line) <= width and len(text) <= 4 * width else f"{line[: width - 1]}…"
