# SPDX-License-Identifier: Apache-2.0
"""Link between the boot server and its child that serves TFTP: JSON lines over two pipes.

The child asks for profiles, for only its parent uses the store; and it reports what became of each request.
The parent tells it first, and whenever they are others, which clients are to boot.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class TftpQuestion:
    """Question of the child: what does a client get that asks for this name?"""

    number: int
    name: str
    client: str

    def to_json(self) -> str:
        return json.dumps({"question": asdict(self)})


@dataclass(frozen=True, slots=True)
class TftpReply:
    """Reply to a question.

    ``away``: nobody knows now, and all clients are to ask again; ``again``: only this one. ``text`` is None
    where no order says anything: the name is that of a file, or of nothing. ``status`` and ``fetch`` are as
    in a ProfileAnswer.
    """

    number: int
    away: bool = False
    again: bool = False
    text: str | None = None
    status: int = 200
    fetch: int = 0

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Self:
        return cls(**json.loads(line))


@dataclass(frozen=True, slots=True)
class TftpCompletion:
    """Report of the child that a client has confirmed all of the reply with this number."""

    number: int

    def to_json(self) -> str:
        return json.dumps({"completion": self.number})


@dataclass(frozen=True, slots=True)
class TftpClients:
    """Addresses of the nodes, None where all clients are nodes, and of those that are to boot."""

    known: list[str] | None
    booting: list[str]

    def to_json(self) -> str:
        return json.dumps({"clients": asdict(self)})


def parse_parent(line: str) -> TftpClients | TftpReply | None:
    """Clients or reply in a line of the parent, None where that ends before."""
    try:
        fields: Any = json.loads(line)
        return TftpClients(**fields["clients"]) if "clients" in fields else TftpReply.from_json(line)
    except (ValueError, TypeError):
        return None


def parse(line: str) -> TftpQuestion | TftpCompletion | None:
    """Question or completion in a line of the child, None for any other line."""
    try:
        fields: Any = json.loads(line)
        if "question" in fields:
            return TftpQuestion(**fields["question"])
        return TftpCompletion(int(fields["completion"])) if "completion" in fields else None
    except (ValueError, TypeError):
        return None
