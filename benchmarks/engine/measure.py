# SPDX-License-Identifier: Apache-2.0
"""One deployment of simulated nodes, measured; in a process of its own, for memory is that of all of it."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from benchmarks.engine import site
from kadeploy.operations.deploy.plan import DeploymentPlan
from kadeploy.operations.run.event_log import WorkflowEventLog
from kadeploy.operations.run.feed import Feed
from kadeploy.operations.run.journal import WorkflowJournal
from kadeploy.simulation import clock
from kadeploy.simulation.file import SimulationFile
from kadeploy.simulation.simulation import SimulatedCluster, Simulation, simulate
from kadeploy.store import workflows
from kadeploy.store.store import Store
from kadeploy.vocabulary.workflow import WorkflowKind
from kadeploy.workflow.phase import Phase

SEED = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One size: seconds of the wall clock and of the processor, MB of memory, micro-steps that ended.

    ``simulated`` is how long the deployment would have taken; ``ok`` how many nodes were good. ``batches``
    are those in which events were kept.
    """

    nodes: int
    seconds: float
    cpu_seconds: float
    peak_mb: float
    start_mb: float
    steps: int
    simulated: float
    ok: int
    batches: int = 0


class Mode(StrEnum):
    """Mode of a measurement: in memory, with the journal, or with journal and log of events in a store."""

    MEMORY = "memory"
    JOURNAL = "journal"
    EVENTS = "events"


def measure(directory: Path, nodes: int, mode: Mode) -> Row:
    """Deploy on so many nodes."""
    plan, file = asyncio.run(site.plan(directory, nodes)), site.behaviour(directory)
    start_mb = _peak_mb()
    began, cpu = time.perf_counter(), time.process_time()
    batches = 0
    if mode is Mode.MEMORY:
        [cluster] = simulate(plan, file, {}, SEED)
    else:
        cluster, batches = _with_store(directory, plan, file, events=mode is Mode.EVENTS)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    ends = Counter(end.phase for end in cluster.timeline.ends.values())
    simulated = max(end.at for end in cluster.timeline.ends.values())
    steps, ok = cluster.timeline.steps, ends[Phase.OK]
    return Row(nodes, seconds, cpu, _peak_mb(), start_mb, steps, simulated, ok, batches)


def _with_store(
    directory: Path, plan: DeploymentPlan, file: SimulationFile, *, events: bool
) -> tuple[SimulatedCluster, int]:
    """Simulate with every transition in an SQLite file before it is applied, as real deployments do.

    With ``events`` these are told and kept as well, in as many batches as if the time had really passed.
    """
    clusters: list[SimulatedCluster] = []
    kept: list[int] = []  # sizes of batches

    async def work() -> None:
        async with Store.open(directory / "store.sqlite") as store:
            workflow = await workflows.create(store, WorkflowKind.DEPLOY, "root", {})
            journal = WorkflowJournal(store, workflow.id, plan.clusters[0].cluster)
            feed = Feed()
            feed.subscribe_kept(lambda batch: kept.append(len(batch)))
            tell = feed.publish if events else None
            simulation = Simulation(plan, file, {}, SEED, lambda _: journal, tell)
            async with AsyncExitStack() as stack:
                if events:
                    stack.enter_context(feed.opened(workflow.id))
                    await stack.enter_async_context(feed.kept(WorkflowEventLog(store, workflow.id)))
                await simulation.run()
            clusters.extend(simulation.clusters)

    clock.run(work())
    return clusters[0], len(kept)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    site.write(Path(sys.argv[1]))
    measured = measure(Path(sys.argv[1]), int(sys.argv[2]), Mode(sys.argv[3]))
    print(json.dumps(asdict(measured)))
