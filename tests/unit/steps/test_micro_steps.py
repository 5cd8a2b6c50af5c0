# SPDX-License-Identifier: Apache-2.0
"""Each micro-step on a recorded node: facts in, exact commands out, or why the node fails.

The cases are tests/data/steps/micro_steps; case.py says what is in them, recorded.py what a node is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from kadeploy.boot.request_log import RequestLog
from kadeploy.boot.requests import BootFileRequest, log_path
from kadeploy.errors import KadeployError, NodeError
from kadeploy.remote.handshake import ServerIdentity
from kadeploy.remote.hostkey import other_key_probe
from kadeploy.steps.catalogue import steps_of
from kadeploy.steps.caused_error import cause_of
from kadeploy.steps.node_run import NodeRun
from kadeploy.steps.workbench import Workbench
from kadeploy.vocabulary.cause import Cause
from kadeploy.vocabulary.names import INSTANCES
from tests.unit.steps.case import Case, entries, facts_of, filled, merged, micro_steps
from tests.unit.steps.port import ADDRESS, NodePort, public
from tests.unit.steps.recorded import SCRIPTS, Recording
from tests.unit.steps.stage import custom_operation, entry_of, function_of, workbench_of

NODE = "node-1"
CASES = micro_steps()
ASKED = datetime(2026, 11, 20, 12, 19, tzinfo=UTC)
LIMIT = 60  # seconds, for a case that would never end
POWER_PROGRAM = '#!/bin/sh\necho "$@" >>orders\n'

Keys = Mapping[str, asyncssh.SSHKey]


def values_of(port: NodePort, keys: Keys, directory: Path) -> dict[str, str]:
    """What is another one in each run."""
    lines = {f"{name} key": public(key) for name, key in keys.items()}
    failed_probes = {
        f"{name} failed probe": other_key_probe(ServerIdentity(public(key), "")).text
        for name, key in keys.items()
    }
    sizes = {f"{name} size": str(len(content)) for content, name in SCRIPTS.items()}
    return {"port": str(port.number), "directory": str(directory), **lines, **failed_probes, **sizes}


def prepare(case: Case, workbench: Workbench[Any]) -> None:
    """Write the files of a case, and what the node has asked for."""
    directory = workbench.site.directory
    workbench.boot.root.mkdir()
    for name, text in {"power": POWER_PROGRAM, **case.files}.items():
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    if case.asked is not None:
        log_path(workbench.boot.root).mkdir()
        for request in case.asked:
            asked = BootFileRequest(ASKED, "http", ADDRESS, seconds=0.1, **request)
            RequestLog(log_path(workbench.boot.root)).append(asked)


async def run(case: Case, workbench: Workbench[Any], seen: Callable[[], bool]) -> dict[str, Any] | None:
    """Run the step of a case; why the node fails, as the executor would tell it, None where it does not.

    One that would not end is broken off, as at its deadline, when everything that is expected was ``seen``.
    """
    rule = entry_of(case.step).cause if case.step else Cause.CUSTOM
    run = NodeRun(workbench.facts.nodes[NODE], case.attempt)
    function: Any = function_of(case.step) if case.step else custom_operation(case.custom or {})
    async with asyncio.timeout(LIMIT):
        running = asyncio.create_task(function(workbench, run))
        while case.broken_off and not running.done() and not seen():
            await asyncio.sleep(0.01)
        if case.broken_off:
            running.cancel()
        await asyncio.wait([running])
    if running.cancelled():
        return failure(run.observed, run.cause or rule, run.evidence)
    try:
        running.result()
    except KadeployError as error:
        evidence = error.evidence if isinstance(error, NodeError) else ""
        return failure(error.message, cause_of(error, rule), evidence)
    return None


def failure(says: str, cause: Cause, evidence: str) -> dict[str, Any]:
    found = {"says": says, "cause": str(cause), "evidence": evidence}
    return {name: text for name, text in found.items() if text}


def orders(directory: Path) -> list[str]:
    """What the site's power program was told."""
    path = directory / "orders"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("case", CASES)
async def test_a_micro_step(
    case: Case, tmp_path: Path, host_keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    async with NodePort(case.looks or ["closed"], host_keys) as port:
        values = values_of(port, host_keys, tmp_path)
        case, recording = case.with_values(values), Recording({NODE: filled(case.does, values)})
        here = {"server": {"network": {"ports": {"ssh": port.number}}}, "known": {NODE: case.node}}
        before = order_before(case)
        here["orders"] = {} if before is None else {NODE: filled(before, values)}
        facts = filled(facts_of(case.site, merged(case.given, here)), values)
        workbench = workbench_of(facts | {"slot": port.slot}, case.instance, tmp_path, recording)
        prepare(case, workbench)
        if case.step:
            running = [step.micro_step for step in steps_of(case.instance, workbench.facts)]
            assert entry_of(case.step) in running

        def seen() -> bool:
            told = len(orders(tmp_path)) >= len(case.orders)
            return told and not recording.left and (not case.looks or port.seen_often)

        fails = await run(case, workbench, seen)
    assert fails == case.fails
    assert recording.left == []
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == case.told
    assert orders(tmp_path)[: len(case.orders) if case.broken_off else None] == case.orders
    assert port.unseen == []
    then, unchanged = await workbench.orders.read(NODE), None if before is None else before.get("text", "")
    assert (then.text if then else None) == (case.boots_then or unchanged)


def order_before(case: Case) -> Mapping[str, Any] | None:
    """The order to boot that the node has before the step."""
    return case.order if case.boots is None else {"text": case.boots}


@pytest.mark.parametrize("case", entries("applies.yaml"))
def test_the_micro_steps_that_an_instance_runs(case: dict[str, Any], tmp_path: Path) -> None:
    facts = facts_of(case.get("site", "bios"), case.get("given", {}))
    for instance, expected in case["runs"].items():
        workbench = workbench_of(facts, instance, tmp_path, Recording({}))
        assert [step.name for step in steps_of(instance, workbench.facts)] == expected


@pytest.mark.parametrize("case", entries("variables.yaml"))
def test_the_variables_of_scripts(case: dict[str, Any], tmp_path: Path) -> None:
    recording = Recording({})
    facts = facts_of(case.get("site", "bios"), case.get("given", {}))
    workbench_of(facts, "BroadcastEnvChain", tmp_path, recording)
    assert recording.variables(NODE) == case["variables"]


def test_every_micro_step_has_a_case() -> None:
    """All functions that are bound; send_environment, of all nodes together, has cases of its own."""
    cases: list[Case] = [parameter.values[0] for parameter in CASES]
    seen = {function_of(case.step) for case in cases if case.step}
    names = [f"{entry.name}.{step.name}" for entry in INSTANCES.values() for step in entry.micro_steps]
    assert [name for name in names if function_of(name) not in {None, *seen}] == []
