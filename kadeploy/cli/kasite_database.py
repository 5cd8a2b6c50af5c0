# SPDX-License-Identifier: Apache-2.0
"""kasite database: the store of the site."""

from __future__ import annotations

from pathlib import Path

import click

SERVICE_USER = "kadeploy"


@click.group(short_help="Make the store.")
def database() -> None:
    """Make the store of the site, at database.name of server.conf."""


@database.command(short_help="Make the store, empty or from another one.")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Copy what this store has, of this version or an earlier one.",
)
@click.option(
    "--user",
    default=SERVICE_USER,
    show_default=True,
    metavar="NAME",
    help="To whom the store shall belong: the user of kadeployd.",
)
def init(source: Path | None, user: str) -> None:
    """Make the store: empty, or with all that another one has.

    Nobody may use the other one meanwhile. It is copied, brought to the schema of this version, and checked;
    only then the store gets its place. The other file stays, with a note beside it.
    """
    from kadeploy.cli import site_database

    site_database.init(source, user)
