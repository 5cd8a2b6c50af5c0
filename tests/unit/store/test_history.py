# SPDX-License-Identifier: Apache-2.0
"""History: the latest workflows, and workflows by what users call them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert

from kadeploy.cli.short_names import shortest_unique
from kadeploy.errors import NotFoundError, RefusedError
from kadeploy.store import history, workflows
from kadeploy.store.store import Store
from kadeploy.store.tables import workflows as table
from kadeploy.store.workflow_outcome import WorkflowOutcome
from kadeploy.vocabulary.workflow import State, WorkflowKind

TAIL = "-7d5e-4b61-9a7c-0123456789ab"


async def fill(store: Store, *ids: str, user: str = "alice", state: State = State.DONE) -> None:
    """Record workflows, one after the other."""
    known = len(await workflows.list_states(store))
    rows = [
        {
            "id": one,
            "kind": str(WorkflowKind.of(one)),
            "user": user,
            "request": {"nodes": [one]},
            "state": str(state),
            "started": 100.0 + number,
            "finished": 200.0 + number if state.ended else None,
        }
        for number, one in enumerate(ids, known)
    ]
    await store.write(lambda connection: connection.execute(insert(table), rows))


IDS = [f"D-1bf2acc5{TAIL}", f"D-1bf2acc6{TAIL}", f"P-cea033ea{TAIL}", f"R-1bf3acc5{TAIL}"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (IDS[0], 0),
        (IDS[0][2:], 0),
        ("D-1bf2acc5", 0),
        ("1bf2acc6", 1),
        ("D-1bf2acc6-", 1),
        ("cea0", 2),
        ("R-1bf3", 3),
        ("1bf3", 3),
        ("last", 3),
    ],
)
async def test_names_of_a_workflow(store: Store, text: str, number: int) -> None:
    await fill(store, *IDS)
    await fill(store, f"D-ffff0000{TAIL}", user="bob")
    found = await history.find(store, text, "alice")
    assert (found.id, found.request) == (IDS[number], {"nodes": [IDS[number]]})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "D",
        "D-",
        "D-1bf",
        "1bf",
        "D-cea0",
        "ffff",
        "1BF2ACC5",
        "%f2acc5",
        "D-1bf2acc5~",
        f"{IDS[0]}0",
        "Last",
    ],
)
async def test_names_of_no_workflow(store: Store, text: str) -> None:
    await fill(store, *IDS)
    with pytest.raises(NotFoundError, match="there is no workflow "):
        await history.find(store, text, "alice")


async def test_a_name_that_a_terminal_must_not_see(store: Store) -> None:
    with pytest.raises(NotFoundError) as told:
        await history.find(store, "D-\x1b[2J\n", "alice")
    assert told.value.message == "there is no workflow D-[2J"
    with pytest.raises(NotFoundError, match="alice has no workflow"):
        await history.find(store, "last", "alice")


async def test_several_workflows_of_one_name(store: Store) -> None:
    many = [f"D-abcd000{number}{TAIL}" for number in range(7)]
    await fill(store, *IDS, *many)
    with pytest.raises(RefusedError) as told:
        await history.find(store, "1bf2", "alice")
    assert told.value.message == f"1bf2 may be {IDS[0]}, {IDS[1]}"
    with pytest.raises(RefusedError) as told:
        await history.find(store, "D-abcd", "alice")
    assert told.value.message == f"D-abcd may be {', '.join(many[:5])}, …"


async def test_the_latest_workflows(store: Store) -> None:
    await fill(store, IDS[0], state=State.HELD)
    await fill(store, *IDS[1:])
    await fill(store, f"D-ffff0000{TAIL}", state=State.PLANNING)
    listed = {limit: [one.id for one in await history.list_recent(store, limit)] for limit in (None, 0, 2, 9)}
    new = f"D-ffff0000{TAIL}"
    assert listed == {
        None: [new, *IDS[::-1]],
        0: [new, IDS[0]],
        2: [new, IDS[3], IDS[2], IDS[0]],
        9: [new, *IDS[::-1]],
    }


async def test_a_listed_workflow_has_its_outcome(store: Store) -> None:
    workflow = await workflows.create(store, WorkflowKind.DEPLOY, "alice", {})
    outcome = WorkflowOutcome(3, 1, 0, None, "debian:3", "a sentence")
    await workflows.change_state(store, workflow.id, State.DONE, outcome=outcome)
    [listed] = await history.list_recent(store, 1)
    assert (listed.outcome, listed.owner, listed.state) == (outcome, "", State.DONE)


def test_shortest_names() -> None:
    assert shortest_unique([*IDS, IDS[0]]) == {one: one[:10] for one in IDS}
    alike = [f"D-1bf2acc5{TAIL}", f"D-1bf2acc5{TAIL.replace('7d', '7e')}", f"P-1bf2acc5-aa{TAIL[3:]}"]
    assert list(shortest_unique(alike).values()) == ["D-1bf2acc5-7d", "D-1bf2acc5-7e", "P-1bf2acc5-a"]
    assert shortest_unique([]) == {}


@given(st.lists(st.sampled_from("DRP"), max_size=6), st.data())
def test_shortest_names_are_unique_and_found_again(kinds: Sequence[str], data: st.DataObject) -> None:
    digits = st.text("01", min_size=10, max_size=10).map(lambda text: f"{text[:8]}-{text[8:]}{TAIL[3:]}")
    ids = [f"{kind}-{data.draw(digits)}" for kind in kinds]
    for one, name in shortest_unique(ids).items():
        assert one.startswith(name) and len(name) >= 10 and not name.endswith("-")
        others = [other for other in ids if other != one and other[2:] != one[2:]]
        assert [other for other in others if other[2:].startswith(name[2:])] == []
