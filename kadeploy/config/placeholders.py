# SPDX-License-Identifier: Apache-2.0
"""Placeholders in commands of a cluster's file: words in capitals for which values are put.

One that nobody replaces would be passed on as it is written, or run as a program: the command fails on each
node, and a soft reboot becomes a hard one.
"""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Collection, Iterator

OF_NODE = ("HOSTNAME_FQDN", "HOSTNAME_SHORT", "BMC")

# What looks like a placeholder: capitals with an underscore, or a name that people expect to be one; neither
# a part of a path, nor a variable that is set or used.
_LOOK = re.compile(
    r"(?<![A-Za-z0-9_/${])(?:[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|CONNECTOR|FQDN|HOSTNAME|NODE|NODENAME)"
    r"(?![A-Za-z0-9_/=])"
)
_OPTION = re.compile(r"^--?[A-Za-z0-9_-]+")

_ADVICE = {"DEFAULT_CONNECTOR": "; write the ssh command itself, or 'method: ssh'"}


def split_command(command: str, known: Collection[str]) -> list[str]:
    """Arguments of a command; raises ValueError for one that cannot be split, or that has a placeholder
    which is not ``known``."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"cannot be split into arguments: {error}") from None
    if not words:
        raise ValueError("there is no command in it")
    for word in words:
        check_placeholders(_OPTION.sub("", word), known)
    return words


def check_placeholders(text: str, known: Collection[str]) -> None:
    """Raises ValueError for a placeholder that is not ``known``."""
    if (unknown := next(_unknown(text, known), None)) is not None:
        raise ValueError(
            f"{unknown} is no placeholder here; there are {', '.join(known)}{_ADVICE.get(unknown, '')}"
        )


def _unknown(text: str, known: Collection[str]) -> Iterator[str]:
    parts = text.replace("/", " ") if "://" in text else text  # of a URL any part may be a placeholder
    rest = _pattern(tuple(known)).sub("", parts)
    yield from (match[0] for match in _LOOK.finditer(rest))


@functools.lru_cache(maxsize=8)
def _pattern(known: tuple[str, ...]) -> re.Pattern[str]:
    """Pattern of placeholders: names of the host also stand within a word, others for themselves only."""
    inside = [word for word in known if word.startswith("HOSTNAME")]
    alone = "|".join(word for word in known if word not in inside)
    return re.compile("|".join([*inside, f"(?<![A-Za-z0-9_])(?:{alone})(?![A-Za-z0-9_])"]))
