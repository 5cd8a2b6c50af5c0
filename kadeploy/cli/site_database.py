# SPDX-License-Identifier: Apache-2.0
"""Work of kasite database."""

from __future__ import annotations

from pathlib import Path

from kadeploy.cli.standard_streams import safe, say
from kadeploy.config import site as configuration
from kadeploy.service.site_store import MadeStore, StoreOwner, make_store

COUNTED = ("workflows", "environments", "nodes", "records")  # what people know by these names


def init(source: Path | None, user: str) -> None:
    """Make the store of the site, and tell of it."""
    site = configuration.load()
    target = site.path(site.server.database.name)
    made = make_store(target, StoreOwner.named(user), source and source.absolute())
    say(safe(f"{made.path} was made for {user}{_content(made)}"))
    if made.note is not None:
        say(safe(f"{source} stays as it was, see {made.note}"))


def _content(made: MadeStore) -> str:
    counts = [f"{name} {made.rows[name]}" for name in COUNTED if name in made.rows]
    return f"; rows: {', '.join(counts)}" if counts else ", empty"
