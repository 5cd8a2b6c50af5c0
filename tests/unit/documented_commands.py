# SPDX-License-Identifier: Apache-2.0
"""The commands, and the page of the documentation that has all options of each."""

from __future__ import annotations

from pathlib import Path

import click

from kadeploy.cli import (
    kacast,
    kadeploy,
    kadeploy_boot,
    kadeployctl,
    kadeployd,
    kaenv,
    kalab,
    kanodes,
    kapower,
    kareboot,
    karights,
    kasite,
    kastat,
)

DOCS = Path(__file__).parents[2] / "docs"
USERS, ADMINISTRATORS = DOCS / "users", DOCS / "administrators"

COMMANDS: dict[str, tuple[click.Command, Path]] = {
    "kadeploy": (kadeploy.command, USERS / "deploying.md"),
    "kareboot": (kareboot.command, USERS / "rebooting.md"),
    "kapower": (kapower.command, USERS / "power.md"),
    "kaenv": (kaenv.command, USERS / "environments.md"),
    "kacast": (kacast.command, USERS / "kacast.md"),
    "karights": (karights.command, ADMINISTRATORS / "rights.md"),
    "kastat": (kastat.command, USERS / "statistics.md"),
    "kanodes": (kanodes.command, USERS / "nodes.md"),
    "kasite": (kasite.kasite, ADMINISTRATORS / "store.md"),
    "kalab": (kalab.kalab, USERS / "lab.md"),
    "kadeploy-boot": (kadeploy_boot.main, ADMINISTRATORS / "boot.md"),
    "kadeployd": (kadeployd.main, ADMINISTRATORS / "server.md"),
    "kadeployctl": (kadeployctl.command, ADMINISTRATORS / "server.md"),
}
