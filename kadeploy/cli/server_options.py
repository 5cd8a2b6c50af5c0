# SPDX-License-Identifier: Apache-2.0
"""Options that say which server a command asks, if any."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from kadeploy.cli.standard_streams import tell

if TYPE_CHECKING:
    from kadeploy.client.operations import Operations
    from kadeploy.config.site import Site
    from kadeploy.contract.contract import Contract

_SERVER = click.option(
    "-S", "--server", metavar="NAME|PATH", help="Ask this server: a name of client.conf, or a socket."
)
_EMBEDDED = click.option("--embedded", is_flag=True, help="Ask no server: work on the store in this process.")


def server_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options ``--server`` and ``--embedded``, in the order of the help."""
    return _SERVER(_EMBEDDED(function))


@dataclass(frozen=True, kw_only=True)  # no slots: it is a base beside others
class ServerOptions:
    """Options ``--server`` and ``--embedded``."""

    server: str | None
    embedded: bool


def open_contract(options: ServerOptions) -> AbstractAsyncContextManager[Contract]:
    """Open the service that the options, or the circumstances, mean; raises KadeployError."""
    from kadeploy.client.opening import open_contract

    return open_contract(options.server, embedded=options.embedded, tell=tell)


def open_operations(
    options: ServerOptions, enter: Callable[[Site], None]
) -> AbstractAsyncContextManager[Operations]:
    """Open the operations of the service; ``enter`` is called where this process works on nodes."""
    from kadeploy.client.opening import open_operations

    return open_operations(options.server, embedded=options.embedded, tell=tell, enter=enter)
