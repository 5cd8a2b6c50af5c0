# SPDX-License-Identifier: Apache-2.0
"""kasite: what an administrator does to the files and the store of a site."""

from __future__ import annotations

import click

from kadeploy.cli import program
from kadeploy.cli.kasite_database import database

EPILOG = """\b
Examples:
  kasite database init                                   make an empty store
  kasite database init --from /root/kadeploy.sqlite      move a store here

\b
Exit status: 0 done; 2 usage; 3 refused (a store exists or is in use, no such user);
4 the store does not work.

\b
Files:
  /etc/kadeploy/server.conf    its database.name is where the store is"""


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@program.version_option
def kasite() -> None:
    """Take care of the files and the store of a site."""


kasite.add_command(database)


def main() -> None:
    """Entry point of the console script."""
    program.run(kasite)
