# SPDX-License-Identifier: Apache-2.0
"""kadeployctl: what the server does, and what it lets begin."""

from __future__ import annotations

import asyncio

import click

from kadeploy.cli import program
from kadeploy.cli.server_options import ServerOptions, open_contract
from kadeploy.cli.standard_streams import say
from kadeploy.errors import UsageError
from kadeploy.vocabulary.mode import Mode

HELP = """Show what kadeployd does, or set its mode.

\b
MODE is one of
  accept   operations begin
  drain    those that run go on, and others wait
  refuse   those that run or wait go on, and others are refused

Without MODE nothing changes. The mode outlives the server.
"""
EXAMPLES = """\
kadeployctl
kadeployctl drain && systemctl stop kadeployd"""


@click.command(cls=program.ProgramCommand, help=HELP, examples=EXAMPLES)
@click.option("-S", "--server", metavar="NAME|PATH", help="A name of client.conf, or a socket.")
@program.json_option
@program.version_option
@click.argument("mode", required=False, metavar="[MODE]")
def command(server: str | None, as_json: bool, mode: str | None) -> None:
    if mode is not None and mode not in [*Mode]:
        raise UsageError(f"there is no mode {mode}", hint=f"there are {', '.join(Mode)}")
    asyncio.run(_carry_out(server, None if mode is None else Mode(mode), as_json=as_json))


async def _carry_out(server: str | None, mode: Mode | None, *, as_json: bool) -> None:
    async with open_contract(ServerOptions(server=server, embedded=False)) as contract:
        found = await (contract.server.show() if mode is None else contract.server.set_mode(mode))
    if as_json:
        say(found.to_json_text())
    else:
        counts = f"{found.running} operations run, {found.queued} wait"
        say(f"kadeployd {found.version}: mode {found.mode}, {counts}")


def main() -> None:
    """Run kadeployctl."""
    program.run(command)
