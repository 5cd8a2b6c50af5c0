# SPDX-License-Identifier: Apache-2.0
"""Mode of the server in a file beside the store, by which it outlives the server.

It is kept because whoever stops operations for some work on the site restarts the server in the middle of it,
and because a restart by the watchdog must not let them begin.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from kadeploy.errors import ServiceError
from kadeploy.store.files import beside
from kadeploy.vocabulary.mode import Mode

log = logging.getLogger(__name__)

SUFFIX = ".mode"


def read_mode(store: Path) -> Mode:
    """Mode that the last server of a store was in."""
    path = beside(store, SUFFIX)
    try:
        return Mode(path.read_text().strip())
    except FileNotFoundError:
        return Mode.ACCEPT
    except (OSError, ValueError) as error:
        log.error("%s cannot be read, so operations begin: %s", path, error)
        return Mode.ACCEPT


def write_mode(store: Path, mode: Mode) -> None:
    """Keep the mode for the next server; raises ServiceError where it cannot be written."""
    path = beside(store, SUFFIX)
    new = path.with_name(path.name + ".new")
    try:
        with new.open("w") as file:
            file.write(f"{mode}\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise ServiceError(
            f"{path} cannot be written: {error.strerror}", hint="the mode is what it was"
        ) from error
