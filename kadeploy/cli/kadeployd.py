# SPDX-License-Identifier: Apache-2.0
"""kadeployd: the server that carries out the operations of all users of this machine."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from kadeploy.cli.descriptors import raise_descriptor_limit
from kadeploy.cli.standard_streams import mention, open_missing, tell
from kadeploy.config import namespace, site
from kadeploy.errors import KadeployError, first_of


@click.command()
@click.option(
    "--config-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of server.conf (default: $KADEPLOY_CONFIG_DIR, or /etc/kadeploy).",
)
def main(config_dir: Path | None) -> None:
    """Carry out the operations of all users of this machine until SIGTERM or SIGINT.

    Prints one line when it answers. What runs then is interrupted, and goes on when kadeployd is started
    again; so it does where kadeployd was killed. A second signal does not wait for micro-steps that run.
    SIGHUP has it read its configuration again.
    """
    open_missing()
    try:
        configuration = site.load(config_dir)
        namespace.enter(configuration.server.network.namespace)
        raise_descriptor_limit()
        asyncio.run(_serve(configuration))
    except (KadeployError, BaseExceptionGroup) as group:
        error = first_of(group)
        if not isinstance(error, KadeployError):
            raise
        hint = f"\nkadeployd: {error.hint}" if error.hint else ""
        tell(f"kadeployd: {error.message}{hint}")
        sys.exit(error.status)


async def _serve(configuration: site.Site) -> None:
    from kadeploy.server import log
    from kadeploy.server.daemon import Daemon
    from kadeploy.server.service_manager import ServiceManager

    def ready(place: str) -> None:
        mention(f"kadeployd answers at {place}")

    log.begin(configuration.server.kadeployd.log)
    await Daemon(configuration, ServiceManager(), ready).run()
