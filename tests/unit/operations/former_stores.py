# SPDX-License-Identifier: Apache-2.0
"""The kept stores of earlier versions, and what this version's code does with one."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import Any

from kadeploy.config import site as configuration
from kadeploy.operations import kinds
from kadeploy.operations.deploy.plan import Planner
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.run.feed import Feed
from kadeploy.operations.run.journal import WorkflowJournal
from kadeploy.operations.workflows import Overview, list_latest
from kadeploy.steps.workbench import Memory
from kadeploy.store import workflows
from kadeploy.store.pruning import prune
from kadeploy.store.store import Store
from kadeploy.workflow.automaton import Automaton
from kadeploy.workflow.phase import Phase
from kadeploy.workflow.transitions import Transition
from tests.keys import write_key
from tests.unit.cli import program
from tests.unit.operations.conftest import Script, forget, phases, resume_operation

KEPT = Path(__file__).parents[2] / "data/stores"
COMMITS = sorted(path.parent.name for path in KEPT.glob("*/kadeploy.sqlite"))
RECORDED_SITE = "/tmp/kadeploy-site"  # of make.py


class FormerStore:
    """A copy of a kept store in a copy of the site that it was made in."""

    def __init__(self, commit: str, directory: Path) -> None:
        self.commit = commit
        self.site = directory / "site"
        self.path = self.site / "kadeploy.sqlite"
        shutil.copytree(KEPT / "site", self.site)
        shutil.copyfile(KEPT / commit / "kadeploy.sqlite", self.path)
        (self.site / "host.pub").chmod(0o644)  # a custom step sends it with its mode
        (self.site / "keys").mkdir()
        write_key(self.site / "keys/id_deploy")
        for column in ("workflows.request", "environments.description"):
            table, name = column.split(".")
            self.change(f"update {table} set {name} = replace({name}, ?, ?)", RECORDED_SITE, str(self.site))
        asyncio.run(self._upgrade())

    async def _upgrade(self) -> None:
        """Bring the file to the schema of this version, whose tables ``change`` and ``rows`` name."""
        async with Store.open(self.path):
            pass

    def change(self, statement: str, *values: str) -> None:
        """Change rows as no version of the program does."""
        with closing(sqlite3.connect(self.path)) as connection:
            assert connection.execute(statement, values).rowcount > 0
            connection.commit()

    def rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        """What a query finds."""
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(query, values).fetchall()

    def workflow_of(self, node: str) -> str:
        """The last workflow of a node."""
        [(wid,)] = self.rows("select workflow_id from nodes where name = ?", node)
        return str(wid)

    def command(self, name: str, *arguments: str) -> program.Completed:
        """A command of this project that uses this store, after it has ended."""
        variables = {"PATH": os.environ["PATH"], "KADEPLOY_CONFIG_DIR": str(self.site), "TZ": "UTC"}
        return program.call(name, arguments, self.site, variables)

    def overviews(self) -> list[Overview]:
        """All workflows as the history shows them, the newest first."""
        return asyncio.run(self._overviews())

    async def _overviews(self) -> list[Overview]:
        async with Store.open(self.path) as store:
            return await list_latest(store, None)

    def prune(self, days: int) -> int:
        """Delete the workflows that ended so many days ago; their number."""
        return asyncio.run(self._prune(days))

    async def _prune(self, days: int) -> int:
        async with Store.open(self.path) as store:
            return await prune(store, days)

    def resume(self, wid: str, of_phases: Collection[Phase], script: type[Script]) -> dict[str, str]:
        """Plan a workflow again and let its nodes of some phases go on; how each node has ended."""
        return asyncio.run(self._resume(wid, of_phases, script))

    async def _resume(self, wid: str, of_phases: Collection[Phase], script: type[Script]) -> dict[str, str]:
        async with Store.open(self.path) as store:
            workflow = await workflows.read(store, wid)
            planner = Planner(configuration.load(self.site), store, lambda *_: None)
            request = kinds.recorded(workflow)
            assert isinstance(request, DeploymentRequest)
            plan = await planner.plan(request)
            return phases(await resume_operation(script.operation(plan, store, Feed()), workflow, of_phases))

    def write_again(self, wid: str, cluster: str, copy: str) -> None:
        """Read the journal of a cluster, and append what was read to that of another workflow."""
        asyncio.run(self._write_again(wid, cluster, copy))

    async def _write_again(self, wid: str, cluster: str, copy: str) -> None:
        memory = Memory(forget)
        read: list[Automaton | Transition] = []
        async with Store.open(self.path) as store:
            await WorkflowJournal(store, wid, cluster).replay(
                read.append, lambda transition, _: read.append(transition), memory
            )
            await workflows.take_over(store, copy, workflows.NOBODY)
            journal = WorkflowJournal(store, copy, cluster)
            for item in read:
                if isinstance(item, Automaton):
                    await journal.begin(item)
                else:
                    await journal.append([item])
            for node, facts in memory.facts.items():
                await journal.keep(node, facts)

    def request_again(self, wid: str) -> dict[str, Any]:
        """What this version would record of a workflow's request."""
        return asyncio.run(self._request_again(wid))

    async def _request_again(self, wid: str) -> dict[str, Any]:
        async with Store.open(self.path) as store:
            return kinds.recorded(await workflows.read(store, wid)).to_json()
