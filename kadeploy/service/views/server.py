# SPDX-License-Identifier: Apache-2.0
"""Document of a server: what it lets begin, and what it works on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kadeploy.service.views.view import Document
from kadeploy.vocabulary.mode import Mode


class ServerView(Document):
    """Server of a ``version``: numbers of the operations that run, and of those that wait for their nodes."""

    kind: Literal["server"] = "server"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    version: str
    mode: Mode
    running: int
    queued: int
