# SPDX-License-Identifier: Apache-2.0
"""Options that say which server a command asks, if any."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from kadeploy.cli.options import declare
from kadeploy.cli.standard_streams import tell

if TYPE_CHECKING:
    from kadeploy.contract.contract import Contract

server_options = declare(
    click.option(
        "-S", "--server", metavar="NAME|PATH", help="Ask this server: a name of client.conf, or a socket."
    ),
    click.option("--embedded", is_flag=True, help="Ask no server: work on the store in this process."),
)


@dataclass(frozen=True, kw_only=True)  # no slots: it is a base beside others
class ServerOptions:
    """Options ``--server`` and ``--embedded``."""

    server: str | None
    embedded: bool


def open_contract(options: ServerOptions) -> AbstractAsyncContextManager[Contract]:
    """Open the service that the options, or the circumstances, mean; raises KadeployError."""
    from kadeploy.client.opening import open_contract

    return open_contract(options.server, embedded=options.embedded, tell=tell)
