# SPDX-License-Identifier: Apache-2.0
"""kadeploy-boot: the server from which nodes boot (HTTP and TFTP)."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path

import click
from aiohttp.http_exceptions import HttpProcessingError

from kadeploy.boot.bounded_log import BoundedLog
from kadeploy.boot.repository import BootRepository
from kadeploy.boot.service import serve
from kadeploy.cli.descriptors import raise_descriptor_limit
from kadeploy.cli.standard_streams import SafeFormatter, mention, open_missing, tell
from kadeploy.config import namespace, site
from kadeploy.errors import KadeployError


@click.command()
@click.option(
    "--config-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of server.conf (default: $KADEPLOY_CONFIG_DIR, or /etc/kadeploy).",
)
def main(config_dir: Path | None) -> None:
    """Serve the boot repository of server.conf over HTTP and TFTP until SIGTERM or SIGINT.

    Prints one line when both ports answer.
    """
    open_missing()
    _log_to_stderr()
    try:
        configuration = site.load(config_dir)
        namespace.enter(configuration.server.network.namespace)
        raise_descriptor_limit()
        asyncio.run(_serve(configuration))
    except KadeployError as error:
        hint = f"\nkadeploy-boot: {error.hint}" if error.hint else ""
        tell(f"kadeploy-boot: {error.message}{hint}")
        sys.exit(error.status)


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.addFilter(BoundedLog(harmless=(HttpProcessingError,)))
    handler.setFormatter(SafeFormatter("kadeploy-boot: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


async def _serve(configuration: site.Site) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    network = configuration.server.network
    repository = BootRepository.of(configuration)

    def ready() -> None:
        ports = f"http port {network.ports.http}, tftp port {network.ports.tftp}"
        mention(f"serving {repository.root} on {network.server_address}, {ports}")

    await serve(
        repository=repository,
        network=network,
        store=configuration.path(configuration.server.database.name),
        known=frozenset(node.address for node in configuration.nodes.values()),
        ready=ready,
        stop=stop,
    )
