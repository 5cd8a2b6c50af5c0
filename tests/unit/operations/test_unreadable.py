# SPDX-License-Identifier: Apache-2.0
"""What another version has written into a workflow and this one cannot read: one sentence, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from kadeploy.caller import Caller
from kadeploy.errors import RefusedError
from tests.unit.operations.conftest import RESUMED, Script
from tests.unit.operations.former_stores import COMMITS, FormerStore

GRACE = '{"cluster": "red", "at": 1.0, "grace": 1, "position": {"macro": 0, "row": 1}}'
# Kind of the entry that is changed, and what is changed in it, as SQL.
ENTRIES = {
    "a kind that is not known": ("Done", "kind = 'Gathered'"),
    "a transition's field that is not known": ("Done", "payload = json_set(payload, '$.proof', 'none')"),
    "a transition's field that is missing": ("Done", "payload = json_remove(payload, '$.task')"),
    "a field of a position": ("Done", f"kind = 'GraceOver', payload = '{GRACE}'"),
    "no cluster": ("Done", "payload = json_remove(payload, '$.cluster')"),
    "no mapping": ("Done", "payload = '7'"),
    "a fact that is not known": ("Facts", "payload = json_set(payload, '$.facts.proof', 'none')"),
    "a fact that is missing": ("Facts", "payload = json_remove(payload, '$.facts.host_keys')"),
    "facts of no node": ("Facts", "payload = json_remove(payload, '$.node')"),
    "an automaton's field": ("Automaton", "payload = json_set(payload, '$.automaton.gathering.most', 1)"),
    "an automaton's scope": ("Automaton", "payload = replace(payload, '\"set\"', '\"rack\"')"),
    "an automaton's deadline": ("Automaton", "payload = replace(payload, '\"600\"', '\"n nodes\"')"),
    "no automaton": ("Automaton", "payload = json_remove(payload, '$.automaton')"),
}
REQUESTS = {
    "a field that is not known": "request = json_set(request, '$.request.vlan', 'one')",
    "a field that is missing": "request = json_remove(request, '$.request.nodes')",
    "an environment's kind": "request = json_set(request, '$.request.environment.image.kind', 'qcow2')",
    "an instance": "request = json_set(request, '$.request.automaton', json('{\"BootNewEnv\": []}'))",
    "a deadline": "request = json_set(request, '$.request.deadline', 'n nodes')",
}


@pytest.fixture
def former(tmp_path: Path) -> FormerStore:
    return FormerStore(COMMITS[0], tmp_path)


def refusal(former: FormerStore, wid: str, script: type[Script]) -> RefusedError:
    with pytest.raises(RefusedError) as refused:
        former.resume(wid, RESUMED, script)
    hint = f"resume it with the version that began it, or give it up: `abandon` {wid}"
    assert refused.value.hint == hint
    return refused.value


@pytest.mark.parametrize(("kind", "change"), ENTRIES.values(), ids=ENTRIES.keys())
def test_entries(former: FormerStore, script: type[Script], kind: str, change: str) -> None:
    wid = former.workflow_of("red-1")
    last = "select max(sequence) from journal where workflow_id = ? and kind = ?"
    place = f"workflow_id = ? and sequence = ({last})"
    former.change(f"update journal set {change} where {place}", wid, wid, kind)
    message = refusal(former, wid, script).message
    assert message.startswith(f"the journal of {wid} has an entry ")
    assert message.endswith(" that this version of kadeploy cannot read")


@pytest.mark.parametrize("change", REQUESTS.values(), ids=REQUESTS.keys())
def test_requests(former: FormerStore, script: type[Script], change: str) -> None:
    wid = former.workflow_of("red-1")
    former.change(f"update workflows set {change} where id = ?", wid)
    assert refusal(former, wid, script).message == (
        f"the request of {wid} has fields that this version of kadeploy cannot read"
    )


def test_as_a_user_sees_it(former: FormerStore) -> None:
    wid, kept = former.workflow_of("red-1"), contents(former)
    former.change("update workflows set user = ?", Caller.of_process().name)
    former.change("update journal set kind = 'Gath' || char(27) || 'ered' where kind = 'Done'")
    resumed = former.command("kadeploy", "--resume", wid)
    assert resumed.returncode == 3
    assert resumed.stderr.splitlines() == [
        f"kadeploy: the journal of {wid} has an entry Gathered that this version of kadeploy cannot read",
        f"hint: resume it with the version that began it, or give it up: kadeploy --abandon {wid}",
    ]
    assert contents(former) == kept
    assert former.command("kadeploy", "--abandon", wid).returncode == 0
    assert former.rows("select * from leases where workflow_id = ?", wid) == []


def contents(former: FormerStore) -> list[object]:
    """What a refusal must leave as it is."""
    states = former.rows("select id, state, finished from workflows order by id")
    return [former.rows("select * from leases"), former.rows("select * from nodes"), states]
