# SPDX-License-Identifier: Apache-2.0
"""Who may do what, and whose workflow a caller may control."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kadeploy.caller import Caller
from kadeploy.errors import RefusedError
from kadeploy.service.rights import Action, Rights
from kadeploy.service.workflows import find_controlled
from kadeploy.store import workflows
from kadeploy.store.store import Store
from kadeploy.store.workflows import Workflow
from kadeploy.vocabulary.workflow import State, WorkflowKind

RIGHTS = Rights(frozenset({"root", "deploy"}))
CHANGE = (Action.CONTROL_WORKFLOW, Action.CHANGE_ENVIRONMENT, Action.SEE_RIGHTS)


@pytest.mark.parametrize("action", CHANGE)
def test_owners_and_the_almighty_change_things(action: Action) -> None:
    allowed = [name for name in ("alice", "bob", "root") if RIGHTS.may(Caller(name), action, owner="alice")]
    assert allowed == ["alice", "root"]


def test_nobody_changes_what_has_no_owner() -> None:
    assert not any(RIGHTS.may(Caller("alice"), action) for action in CHANGE)


def test_only_the_almighty_change_rights() -> None:
    allowed = [
        name for name in ("alice", "root") if RIGHTS.may(Caller(name), Action.CHANGE_RIGHTS, owner=name)
    ]
    assert allowed == ["root"]


@pytest.mark.parametrize(("owner", "allowed"), [("alice", False), ("deploy", True)])
def test_environments_of_the_almighty_may_be_public(owner: str, allowed: bool) -> None:
    assert RIGHTS.may(Caller("root"), Action.PUBLISH_ENVIRONMENT, owner=owner) is allowed


def test_each_action_has_its_rule() -> None:
    assert {*CHANGE, Action.PUBLISH_ENVIRONMENT, Action.CHANGE_RIGHTS} == {*Action}
    assert {RIGHTS.may(Caller("root"), action, owner="root") for action in Action} == {True}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "store.sqlite") as opened:
        yield opened


@pytest.fixture
async def workflow(store: Store) -> Workflow:
    created = await workflows.create(store, WorkflowKind.DEPLOY, "alice", {})
    await workflows.change_state(store, created.id, State.DONE)
    return await workflows.read(store, created.id)


async def test_a_workflow_is_found_by_its_owner_and_the_almighty(store: Store, workflow: Workflow) -> None:
    for text, user in ((workflow.id, "root"), (workflow.id[:12], "alice"), ("last", "alice")):
        assert await find_controlled(store, text, Caller(user), RIGHTS) == workflow
    with pytest.raises(RefusedError, match=f"{workflow.id} belongs to alice"):
        await find_controlled(store, workflow.id[2:12], Caller("bob"), RIGHTS)
    with pytest.raises(RefusedError, match="root has no workflow"):
        await find_controlled(store, "last", Caller("root"), RIGHTS)
