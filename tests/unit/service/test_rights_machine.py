# SPDX-License-Identifier: Apache-2.0
"""Rights of several users, given, withdrawn, overwritten and over: none has an effect on another's work."""

from __future__ import annotations

import asyncio
import math
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import update

from kadeploy.config.site import Site
from kadeploy.environments.environment import Environment
from kadeploy.errors import RefusedError
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.kinds import kind_of
from kadeploy.operations.reboot.request import RebootRequest
from kadeploy.operations.request import Request
from kadeploy.service.lost_rights import LOSS, end_lost
from kadeploy.service.right_requests import RightsGrant, RightsWithdrawal
from kadeploy.service.rights import Rights, Use
from kadeploy.store import tables, workflows
from kadeploy.store.rights import ANY
from kadeploy.store.store import Store
from kadeploy.vocabulary.workflow import State
from tests.nightly import examples
from tests.stores import write_store
from tests.unit.service.granted import granting, limited

Result = TypeVar("Result")
Names = tuple[str, ...] | None  # None for all

STEPS = 20  # calls of one example
ALMIGHTY = "root"
USERS = ("alice", "bob", "carol", ALMIGHTY)
NODES = ("red-1", "red-2", "blue-1")
PARTITIONS = (3, 5)
HOUR = 3600.0

users = st.sampled_from(USERS)
callers = st.sampled_from((*[ALMIGHTY] * 8, *USERS))  # others are refused, which changes nothing
nodes = st.none() | st.lists(st.sampled_from(NODES), min_size=1, max_size=2, unique=True).map(tuple)
devices = st.none() | st.sampled_from([(f"/dev/sda{number}",) for number in PARTITIONS])
hours = st.none() | st.integers(1, 3)


@dataclass(frozen=True)
class Given:
    """What the model knows of a right; ``until`` in hours of its clock, infinity for no end."""

    user: str
    node: str
    device: str
    until: float

    def has(self, node: str, device: str) -> bool:
        return self.node in (node, ANY) and self.device in (device, ANY)

    def meets(self, node: str, device: str) -> bool:
        return (self.node == node or ANY in (self.node, node)) and (
            self.device == device or ANY in (self.device, device)
        )


class RightsMachine(RuleBasedStateMachine):
    """Service beside a model of what it should do; workflows stand for operations that run."""

    site: Site
    environment: Environment
    empty: Path

    @initialize()
    def open(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.runner, self.opened = asyncio.Runner(), AsyncExitStack()
        path = Path(shutil.copy(self.empty, self.directory.name))
        self.store = self.run(self.opened.enter_async_context(Store.open(path)))
        self.start = datetime.now(UTC)
        self.now = 0.0  # hours by which ends have come nearer to the start
        self.given: list[Given] = []
        self.running: dict[str, Request] = {}

    def teardown(self) -> None:
        with self.directory, closing(self.runner):
            self.run(self.opened.aclose())

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.runner.run(work)

    @rule(caller=callers, user=users, nodes=nodes, devices=devices, hours=hours, overwrite=st.booleans())
    def add(
        self, caller: str, user: str, nodes: Names, devices: Names, hours: int | None, overwrite: bool
    ) -> None:
        end = None if hours is None else self.start + timedelta(hours=hours)
        asked = RightsGrant(user=user, nodes=nodes, devices=devices, until=end, overwrite=overwrite)
        new = [
            Given(user, node, device, math.inf if hours is None else self.now + hours)
            for node in nodes or (ANY,)
            for device in devices or (ANY,)
        ]
        others = [
            right
            for right in self.given
            if ALMIGHTY not in (user, right.user)
            and right.user != user
            and any(right.meets(one.node, ANY) for one in new)
        ]
        exceptions = any(right.node == ANY for right in others) and nodes is not None
        refused = caller != ALMIGHTY or exceptions or (bool(others) and not overwrite)
        change = self.call(granting(self.site, self.store, caller).add(asked), refused)
        if change is None:
            return
        self.given = [right for right in self.given if right not in others]
        own = [right for right in self.given if right.user == user]
        new = [one for one in new if not any(self.replaces(right, one) for right in own)]
        self.given = [
            right
            for right in self.given
            if right.user != user or not any(self.is_replaced(right, one) for one in new)
        ]
        self.given += new
        assert change.changed is bool(new)
        self.check_ended(change.ended, {right.user for right in others})

    def replaces(self, right: Given, new: Given) -> bool:
        """A right of the same user makes a new one superfluous."""
        if (right.node, right.device) == (new.node, new.device):
            return right.until == new.until
        return right.has(new.node, new.device) and right.until >= new.until

    def is_replaced(self, right: Given, new: Given) -> bool:
        """A new right of the same user makes one superfluous."""
        if (right.node, right.device) == (new.node, new.device):
            return True
        return new.has(right.node, right.device) and right.until <= new.until

    @rule(caller=callers, user=users, nodes=nodes, devices=devices)
    def withdraw(self, caller: str, user: str, nodes: Names, devices: Names) -> None:
        area = [(node, device) for node in nodes or (ANY,) for device in devices or (ANY,)]
        met = [r for r in self.given if r.user == user and any(r.meets(*pair) for pair in area)]
        whole = Given(user, "", "", 0)
        contained = all(
            any(replace(whole, node=node, device=device).has(r.node, r.device) for node, device in area)
            for r in met
        )
        asked = RightsWithdrawal(user=user, nodes=nodes, devices=devices)
        refused = caller != ALMIGHTY or not contained
        change = self.call(granting(self.site, self.store, caller).withdraw(asked), refused)
        if change is not None:
            self.given = [right for right in self.given if right not in met]
            assert change.changed is bool(met)
            self.check_ended(change.ended, {user})

    @rule(hours=st.integers(1, 3))
    def pass_time(self, hours: int) -> None:
        self.now += hours
        closer = tables.rights.c.until - hours * HOUR
        change = update(tables.rights).where(tables.rights.c.until > 0).values(until=closer)
        self.run(self.store.write(lambda connection: connection.execute(change)))
        losers = {right.user for right in self.given if right.until <= self.now}
        self.given = [right for right in self.given if right.until > self.now]
        self.check_ended(self.run(end_lost(self.site, self.store)), losers)

    @rule(
        user=users,
        nodes=st.lists(st.sampled_from(NODES), min_size=1, max_size=3, unique=True).map(tuple),
        partition=st.none() | st.sampled_from(PARTITIONS),
    )
    def begin(self, user: str, nodes: tuple[str, ...], partition: int | None) -> None:
        self.attempt(user, nodes, partition)

    def attempt(self, user: str, nodes: tuple[str, ...], partition: int | None) -> None:
        request: Request = RebootRequest(user=user, nodes=nodes)
        if partition is not None:
            request = DeploymentRequest(
                user=user, nodes=nodes, environment=self.environment, partition=partition
            )
        check = Rights.of(self.site).check_use(self.site, self.store, Use.REBOOT, request)
        self.call(check, refused=not self.allows(request))
        if self.allows(request):
            content = {"request": request.to_json()}
            kind = kind_of(request).name
            made = self.run(workflows.create(self.store, kind, user, content, State.PLANNING))
            self.running[made.id] = request

    @precondition(lambda self: self.given)
    @rule(number=st.integers(0, 100), partition=st.none() | st.sampled_from(PARTITIONS))
    def begin_what_is_allowed(self, number: int, partition: int | None) -> None:
        right = self.given[number % len(self.given)]
        node = NODES[number % len(NODES)] if right.node == ANY else right.node
        device = partition if right.device == ANY else int(right.device[-1])
        before = len(self.running)
        self.attempt(right.user, (node,), device)
        assert len(self.running) == before + 1

    def allows(self, request: Request) -> bool:
        partition = request.partition if isinstance(request, DeploymentRequest) else None
        own = [right for right in self.given if right.user == request.user]
        return all(
            any(
                right.has(node, f"/dev/sda{partition}") if partition else right.node in (node, ANY)
                for right in own
            )
            for node in request.nodes
        )

    def call(self, work: Coroutine[Any, Any, Result], refused: bool) -> Result | None:
        """Result of a call that must be refused, or must not."""
        if refused:
            with pytest.raises(RefusedError):
                self.run(work)
            return None
        return self.run(work)

    def check_ended(self, ended: Any, losers: set[str]) -> None:
        expected = {
            wid
            for wid, request in self.running.items()
            if request.user in losers and not self.allows(request)
        }
        assert set(ended) == expected
        for wid in expected:
            assert self.run(workflows.cancel_requested(self.store, wid)) == LOSS
            self.run(workflows.change_state(self.store, wid, State.ABORTED))
            del self.running[wid]

    @invariant()
    def nobody_elses_work_is_cancelled(self) -> None:
        if hasattr(self, "store"):
            for wid, request in self.running.items():
                assert self.allows(request)
                assert self.run(workflows.cancel_requested(self.store, wid)) == ""

    @invariant()
    def everybody_sees_what_the_model_has(self) -> None:
        for user in USERS if hasattr(self, "store") else ():
            shown = self.run(granting(self.site, self.store, user).list()).rights
            seen = sorted((right.user, right.node, right.device) for right in shown)
            assert seen == sorted(
                (right.user, right.node, right.device)
                for right in self.given
                if user in (ALMIGHTY, right.user)
            )


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_no_call_has_an_effect_on_others(site: Site, environment: Environment, tmp_path: Path) -> None:
    """Examples of twenty calls each, by night 20,000 calls in all."""
    machine: type[RightsMachine] = type(
        "Machine",
        (RightsMachine,),
        {
            "site": limited(site),
            "environment": environment,
            "empty": write_store(tmp_path / "empty.sqlite"),
        },
    )
    profile = settings(max_examples=min(examples(25), 1000), stateful_step_count=STEPS, deadline=None)
    run_state_machine_as_test(machine, settings=profile)
