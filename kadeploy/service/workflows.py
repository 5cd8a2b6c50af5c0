# SPDX-License-Identifier: Apache-2.0
"""Use cases of workflows for one caller."""

from __future__ import annotations

from kadeploy.caller import Caller
from kadeploy.errors import RefusedError
from kadeploy.service.rights import Action, Rights
from kadeploy.store import history
from kadeploy.store.store import Store
from kadeploy.store.workflows import Workflow


async def find_controlled(store: Store, text: str, caller: Caller, rights: Rights) -> Workflow:
    """Find the workflow that a caller names so, see ``store.history.find``, and may control.

    Raises NotFoundError, RefusedError where it is another user's or several may be meant.
    """
    workflow = await history.find(store, text, caller.name)
    if not rights.may(caller, Action.CONTROL_WORKFLOW, owner=workflow.user):
        raise RefusedError(f"{workflow.id} belongs to {workflow.user}")
    return workflow
