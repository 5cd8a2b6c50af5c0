# SPDX-License-Identifier: Apache-2.0
"""Opening, creating and upgrading the store, its transactions, and several processes on one file."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, select, text

from kadeploy.errors import RefusedError, ServiceError
from kadeploy.store import migrations
from kadeploy.store.store import Store
from kadeploy.store.tables import metadata, nodes

NODE = {
    "name": "node-1",
    "state": "deployed",
    "user": "alice",
    "workflow_id": "D-1",
    "environment_name": "",
    "environment_user": "",
    "date": 1.0,
}


async def test_migrations_make_the_tables_of_this_version(store: Store) -> None:
    differences = await store.read(
        lambda connection: compare_metadata(
            MigrationContext.configure(connection, opts={"compare_type": True}), metadata
        )
    )

    assert differences == []


def test_the_head_of_the_fast_path_is_that_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")

    assert ScriptDirectory.from_config(config).get_current_head() == migrations.HEAD


async def test_an_empty_file_becomes_a_store_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "store.sqlite"
    async with Store.open(path) as store:
        await store.write(lambda connection: connection.execute(insert(nodes), NODE))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}

    assert modes == {"store.sqlite": 0o600, "store.sqlite-wal": 0o600, "store.sqlite-shm": 0o600}


async def test_a_current_store_is_opened_without_alembic(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    async with Store.open(path) as store:
        await store.write(lambda connection: connection.execute(insert(nodes), NODE))
    program = (
        "import asyncio, sys, pathlib\n"
        "from sqlalchemy import text\n"
        "from kadeploy.store.store import Store\n"
        "async def main():\n"
        "    async with Store.open(pathlib.Path(sys.argv[1])) as store:\n"
        "        print(await store.read(lambda c: c.scalar(text('SELECT name FROM nodes'))))\n"
        "    assert not any(name.startswith('alembic') for name in sys.modules)\n"
        "asyncio.run(main())\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True, timeout=30
    )

    assert result.stdout == "node-1\n"


async def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    async with Store.open(path) as store:
        await store.write(lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))

    with pytest.raises(ServiceError, match="cannot be brought to schema") as caught:
        async with Store.open(path):
            pass
    assert "newer version" in caught.value.hint


async def test_a_file_that_is_no_store_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.write_text("precious " * 1000)

    with pytest.raises(ServiceError, match="not a database"):
        async with Store.open(path):
            pass
    assert path.read_text() == "precious " * 1000


async def test_a_path_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises((ServiceError, RefusedError)):
        async with Store.open(tmp_path / "file" / "store.sqlite"):
            pass


async def test_a_change_that_raises_is_undone(store: Store) -> None:
    def change(connection: Connection) -> None:
        connection.execute(insert(nodes), NODE)
        raise ValueError

    with pytest.raises(ValueError):
        await store.write(change)

    assert await store.read(lambda connection: connection.execute(select(nodes)).all()) == []


async def test_the_settings_hold_on_the_connection_in_use(store: Store) -> None:
    settings = {
        name: await store.read(lambda c, name=name: c.scalar(text(f"PRAGMA {name}")))  # type: ignore[misc]
        for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
    }

    assert settings == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 1, "busy_timeout": 1_000}


async def test_a_writer_waits_for_another_process_and_the_loop_does_not(store: Store) -> None:
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writing = asyncio.create_task(store.write(lambda connection: connection.execute(insert(nodes), NODE)))
    await asyncio.sleep(0.2)

    assert not writing.done()
    other.execute("COMMIT")
    async with asyncio.timeout(5):
        await writing
    other.close()


async def test_processes_that_create_the_store_at_once(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys, pathlib\n"
        "from sqlalchemy import text\n"
        "from kadeploy.store.store import Store\n"
        "async def main():\n"
        "    async with Store.open(pathlib.Path(sys.argv[1])) as store:\n"
        "        query = text('SELECT version_num FROM alembic_version')\n"
        "        print(await store.read(lambda c: c.scalar(query)))\n"
        "asyncio.run(main())\n"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program, tmp_path / "store.sqlite"], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]

    assert [child.communicate(timeout=30)[0] for child in children] == [f"{migrations.HEAD}\n"] * 4
