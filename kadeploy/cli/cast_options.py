# SPDX-License-Identifier: Apache-2.0
"""Options of kacast, and the typed value that they become."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from kadeploy.broadcast.interface import BroadcastOptions
from kadeploy.cli import program
from kadeploy.cli.options import ResultOptions, declare, node_options, result_options

DEFAULTS = BroadcastOptions()
_FILE = click.Path(path_type=Path)

cast_options = declare(
    click.argument("file", metavar="FILE"),
    click.argument("command", nargs=-1, metavar="[-- COMMAND [ARGUMENT]...]"),
    node_options,
    click.option(
        "--to", "destination", metavar="PATH", help="The file that FILE shall be there; PATH/ keeps its name."
    ),
    click.option("-l", "--login", "user", default="", metavar="USER", help="Whom to log in as."),
    click.option("-i", "--identity", type=_FILE, metavar="FILE", help="The private key to log in with."),
    click.option("-p", "--port", type=click.IntRange(1, 65535), metavar="PORT", help="Of the ssh servers."),
    click.option("--known-hosts", type=_FILE, metavar="FILE", help="Host keys, instead of yours."),
    click.option("--address", default="", metavar="ADDRESS", help="Where the hosts reach this machine."),
    result_options,
    click.option("--min-ok", metavar="N|P%", help="Exit with 0 when so many hosts are ok."),
    click.option(
        "--deadline",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Then give up who is not done.",
    ),
    click.option(
        "--arity",
        type=click.IntRange(1, 64),
        default=1,
        show_default=True,
        metavar="N",
        help="How many others each host feeds: 1 is a chain, more a tree.",
    ),
    click.option(
        "--window",
        type=click.IntRange(1, 4096),
        default=DEFAULTS.window >> 20,
        show_default=True,
        metavar="MiB",
        help="What a host keeps of the stream in memory, for a COMMAND that takes it unevenly.",
    ),
    click.option(
        "--silence",
        type=click.FloatRange(min=0.1, max=600),
        default=DEFAULTS.silence,
        show_default=True,
        metavar="SECONDS",
        help="Without a sign of life from a host until it is skipped.",
    ),
    program.json_option,
    program.version_option,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CastOptions(ResultOptions):
    """Options of kacast; ``window`` in MiB, ``deadline`` and ``silence`` in seconds."""

    file: str
    command: tuple[str, ...]
    destination: str | None
    user: str
    identity: Path | None
    port: int | None
    known_hosts: Path | None
    address: str
    min_ok: str | None
    deadline: float | None
    arity: int
    window: int
    silence: float
    as_json: bool
