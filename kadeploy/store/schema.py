# SPDX-License-Identifier: Apache-2.0
"""Schema of the store: creation of its file, and upgrades to the version of this program."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from kadeploy.errors import ServiceError
from kadeploy.store import migrations

CREATION_WAIT = 30.0  # seconds for another process that creates or upgrades the same file


def prepare(engine: Engine, path: Path) -> None:
    """Create or upgrade the schema where it is not current; costs one query where it is.

    Raises ServiceError for a file that was written by a newer version.
    """
    if path.exists() and _version(engine) == migrations.HEAD:
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    with _alone(path.parent):
        # Writers need the file and its -wal and -shm companions, to which SQLite gives the mode of the
        # file; so rights for a group are an administrator's chmod away, and nobody else's business.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        with closing(engine.raw_connection()) as raw:  # outside any transaction, as this change must be
            raw.cursor().execute("PRAGMA journal_mode = WAL")
        with engine.connect().execution_options(immediate=True) as connection, connection.begin():
            _upgrade(connection, path)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Lock a directory for one process at a time: SQLite's change to WAL does not wait for others."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        for attempt in Retrying(
            retry=retry_if_exception_type(BlockingIOError),
            stop=stop_after_delay(CREATION_WAIT),
            wait=wait_fixed(0.05),
            reraise=True,
        ):
            with attempt:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ServiceError(f"another process has kept {directory} locked for {CREATION_WAIT:.0f} s") from None
    finally:
        os.close(descriptor)


def _version(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection, path: Path) -> None:
    # Imported here: alembic takes longer to import than a current store takes to open.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise ServiceError(
            f"the store {path} cannot be brought to schema {migrations.HEAD}: {error}",
            hint="it was probably written by a newer version of kadeploy",
        ) from error
