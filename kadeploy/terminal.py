# SPDX-License-Identifier: Apache-2.0
"""What may reach a terminal of what others wrote: nodes, programs, other users.

Text goes through ``printable`` or ``printable_line``. Documents must keep every character: JSON is written in
ASCII, as ``json.dumps`` does unless it is told otherwise, and YAML with escapes.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """Remove from a text what would draw on, or give orders to, the terminal of who reads it.

    Lines and tabs stay. Control and format characters go (ESC, among others, and those that reverse the order
    of what stands behind them), as do surrogates, private and unassigned characters and line separators
    other than the newline.
    """
    return "".join(character for character in text if character.isprintable() or character in "\n\t")


def printable_line(text: str) -> str:
    """Remove the same and every newline."""
    return printable(text).replace("\n", "")
