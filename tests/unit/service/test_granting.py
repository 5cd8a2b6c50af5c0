# SPDX-License-Identifier: Apache-2.0
"""Rights on nodes: who gives them, for which operations they are needed, and what ends with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from kadeploy.caller import Caller
from kadeploy.config.server import RightsKind
from kadeploy.config.site import Site
from kadeploy.environments.environment import Environment
from kadeploy.errors import NotFoundError, RefusedError, RequestError
from kadeploy.operations.continuation import Continuation, ContinuationKind
from kadeploy.operations.deploy.request import DeploymentRequest
from kadeploy.operations.power.request import PowerRequest
from kadeploy.operations.reboot.request import RebootRequest
from kadeploy.operations.repetition import Repetition
from kadeploy.operations.request import Request
from kadeploy.service.granting import RightService
from kadeploy.service.lost_rights import LOSS, end_lost
from kadeploy.service.operations import OperationService
from kadeploy.service.right_requests import RightsGrant, RightsWithdrawal
from kadeploy.service.rights import Rights, Use
from kadeploy.service.workflows import WorkflowService
from kadeploy.store import leases, tables, workflows
from kadeploy.store.store import Store
from kadeploy.vocabulary.workflow import State
from tests.stores import forget_owner
from tests.unit.operations.conftest import Script, phases
from tests.unit.service.conftest import ALICE, BOB, ROOT
from tests.unit.service.granted import granting, limited, off

SDA3 = ("/dev/sda3",)
RED = ("red-1", "red-2")
MakeService = Callable[[Caller], OperationService]


@pytest.fixture
def site(site: Site) -> Site:
    return limited(site)


@pytest.fixture
def root(site: Site, store: Store) -> RightService:
    return granting(site, store, "root")


@pytest.fixture
async def of(site: Site, store: Store, script: type[Script]) -> AsyncIterator[MakeService]:
    """Operations of a caller."""
    made: list[OperationService] = []

    def make(caller: Caller) -> OperationService:
        made.append(OperationService(site, store, caller, Rights.of(site), make_executor=script))
        return made[-1]

    yield make
    for service in made:
        await service.close()


@pytest.fixture
def deployment(environment: Environment) -> DeploymentRequest:
    return DeploymentRequest(user="alice", nodes=RED, environment=environment)


async def pass_time(store: Store, seconds: float) -> None:
    """Let the end of each right come nearer."""
    change = update(tables.rights).values(until=tables.rights.c.until - seconds)
    await store.write(lambda connection: connection.execute(change))


def soon(**time: float) -> datetime:
    return datetime.now(UTC) + timedelta(**time)


# Who changes them ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [RightsGrant(user="bob"), RightsWithdrawal(user="alice")])
async def test_only_almighty_users_change_rights(site: Site, store: Store, change: RightsWithdrawal) -> None:
    bob = granting(site, store, "bob")
    with pytest.raises(RefusedError, match="bob may not change rights") as told:
        await (bob.add(change) if isinstance(change, RightsGrant) else bob.withdraw(change))
    assert told.value.hint == "these users may: deploy, root"


async def test_others_see_their_own_rights_only(site: Site, store: Store, root: RightService) -> None:
    await root.add(RightsGrant(user="alice", nodes=("red-1",), until=soon(hours=1)))
    await root.add(RightsGrant(user="bob", nodes=("red-2",), devices=SDA3))
    assert [right.user for right in (await root.list()).rights] == ["alice", "bob"]
    bob = granting(site, store, "bob")
    [own] = (await bob.list()).rights
    assert own.to_json() == {"user": "bob", "node": "red-2", "device": "/dev/sda3", "until": None}
    assert await bob.list("bob") == await bob.list()
    with pytest.raises(RefusedError, match="bob may not see the rights of alice"):
        await bob.list("alice")


async def test_a_node_must_be_known_to_be_given_but_not_to_be_withdrawn(root: RightService) -> None:
    with pytest.raises(NotFoundError, match="unknown node: green-1"):
        await root.add(RightsGrant(user="alice", nodes=("green-1",)))
    assert not (await root.withdraw(RightsWithdrawal(user="alice", nodes=("green-1",)))).changed


async def test_it_is_told_whether_something_has_changed(root: RightService, site: Site, store: Store) -> None:
    for changed in (True, False):
        assert (await root.add(RightsGrant(user="alice"))).changed is changed
    for changed in (True, False):
        assert (await root.withdraw(RightsWithdrawal(user="alice"))).changed is changed
    assert (await root.add(RightsGrant(user="alice"))).limited
    open_site = limited(site, RightsKind.DUMMY)
    assert not (await granting(open_site, store, "root").withdraw(RightsWithdrawal(user="alice"))).limited


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"user": "*"}, "`user`: '\\*' is no user"),
        ({"user": ""}, "`user`: is no name of a user"),
        ({"user": "a b"}, "`user`: is no name of a user"),
        ({"user": "a\x1b[2J"}, "`user`: is no name of a user"),
        ({"nodes": ()}, "`nodes`: must have 1 at least"),
        ({"devices": ()}, "`devices`: must have 1 at least"),
        ({"devices": ("sda3",)}, "`devices.0`: is no path of a device"),
        ({"devices": ("/dev/sda3\n",)}, "`devices.0`: is no path of a device"),
        ({"until": datetime(2020, 1, 1, tzinfo=UTC)}, "`until`: is over already"),
        (
            {
                "nodes": tuple(f"n-{n}" for n in range(1000)),
                "devices": tuple(f"/dev/{n}" for n in range(101)),
            },
            "more than 100000 rights",
        ),
    ],
)
def test_requests_that_make_no_sense(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(RequestError, match=told):
        RightsGrant(**{"user": "alice", **fields})


# For which operations they are needed -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_of", "told"),
    [
        (lambda nodes: off(*nodes), "to switch red-2"),
        (lambda nodes: PowerRequest(user="alice", nodes=nodes), "to see the power status of red-2"),
        (lambda nodes: RebootRequest(user="alice", nodes=nodes), "to reboot red-2"),
    ],
)
async def test_each_node_of_an_operation_needs_a_right(
    root: RightService, of: MakeService, store: Store, request_of: Callable[..., Request], told: str
) -> None:
    await root.add(RightsGrant(user="alice", nodes=("red-1",), devices=SDA3))
    await root.add(RightsGrant(user="bob", nodes=("red-2",)))
    for act in (of(ALICE).begin, of(ALICE).plan):
        with pytest.raises(RefusedError, match=f"^alice has no right {told}$") as refusal:
            await act(request_of(RED))
    assert "`list_rights`" in refusal.value.hint
    assert await workflows.list_states(store) == []
    await Rights.of(root.site).check_use(root.site, store, Use.POWER, request_of(("red-1",)))


@pytest.mark.parametrize(
    ("fields", "device"),
    [
        ({}, "/dev/sda3"),
        ({"partition": 5}, "/dev/sda5"),
        ({"partition": 5, "block_device": "/dev/nvme0n1"}, "/dev/nvme0n1p5"),
        ({"block_device": "/dev/sdb"}, "/dev/sdb"),
    ],
)
async def test_a_deployment_needs_the_right_on_its_device(
    root: RightService, of: MakeService, deployment: DeploymentRequest, fields: dict[str, Any], device: str
) -> None:
    await root.add(RightsGrant(user="alice", nodes=RED, devices=("/dev/sda9",)))
    asked = deployment.changed({**fields, "spares": ("blue-1",)})
    with pytest.raises(RefusedError, match=rf"to deploy {device} of blue-1,red-\[1-2\]$"):
        await of(ALICE).begin(asked)
    await root.add(RightsGrant(user="alice", nodes=RED, devices=(device,)))
    with pytest.raises(RefusedError, match=f"to deploy {device} of blue-1$"):
        await of(ALICE).begin(asked)
    await root.add(RightsGrant(user="alice", nodes=("blue-1",)))
    await Rights.of(root.site).check_use(root.site, root.store, Use.DEPLOY, asked)


async def test_almighty_users_need_rights_as_others_do(
    root: RightService, of: MakeService, deployment: DeploymentRequest
) -> None:
    with pytest.raises(RefusedError, match="root has no right to deploy"):
        await of(ROOT).begin(deployment)
    await root.add(RightsGrant(user="root"))
    assert phases(await (await of(ROOT).begin(deployment)).finish()) == dict.fromkeys(RED, "ok")


async def test_a_site_that_says_nothing_lets_everybody_use_every_node(
    site: Site, store: Store, script: type[Script], deployment: DeploymentRequest
) -> None:
    site = limited(site, RightsKind.DUMMY)
    service = OperationService(site, store, BOB, Rights.of(site), make_executor=script)
    assert phases(await (await service.begin(deployment)).finish()) == dict.fromkeys(RED, "ok")


async def test_a_right_that_ends_in_the_planning_is_missed_before_a_node_is_touched(
    root: RightService, of: MakeService, deployment: DeploymentRequest, store: Store
) -> None:
    await root.add(RightsGrant(user="alice", nodes=RED, until=soon(hours=1)))
    running = await of(ALICE).begin(deployment)
    await pass_time(store, 3600)
    with pytest.raises(RefusedError, match="alice has no right to deploy /dev/sda3"):
        await running.finish()
    found = await workflows.read(store, running.wid)
    assert found.state is State.REFUSED
    assert found.outcome is not None and "has no right" in found.outcome.message


# What ends with them ------------------------------------------------------------------------------------


async def test_a_running_operation_ends_with_one_of_its_rights(
    root: RightService,
    of: MakeService,
    deployment: DeploymentRequest,
    script: type[Script],
    store: Store,
    workflows_of: Callable[[Caller], WorkflowService],
) -> None:
    await root.add(RightsGrant(user="alice", nodes=RED))
    await root.add(RightsGrant(user="bob", nodes=("blue-1",)))
    script.hanging = "reboot"
    running = await of(ALICE).begin(deployment)
    other = await of(BOB).begin(deployment.changed({"nodes": ("blue-1",)}))
    await script.reached.wait()
    assert (await root.withdraw(RightsWithdrawal(user="alice", nodes=("blue-2",)))).ended == ()
    assert (await root.withdraw(RightsWithdrawal(user="alice", nodes=("red-2",)))).ended == (running.wid,)
    async with asyncio.timeout(10):
        assert phases(await running.finish()) == dict.fromkeys(RED, "aborted")
    assert await leases.held(store, RED) == {}
    assert (await workflows.read(store, running.wid)).cancelled_by == LOSS
    assert not other.ended
    assert (await workflows.read(store, other.wid)).cancelled_by == ""
    for asked in (Continuation(wid=running.wid, kind=ContinuationKind.RETRY), Repetition(wid=running.wid)):
        for act in (of(ALICE).begin, of(ALICE).plan):
            with pytest.raises(RefusedError, match=r"alice has no right to deploy /dev/sda3 of red-2$"):
                await act(asked)
        assert (await workflows_of(ALICE).show(running.wid)).state == "aborted"


async def test_whose_right_is_overwritten_loses_what_he_does_there(
    root: RightService, of: MakeService, deployment: DeploymentRequest, script: type[Script]
) -> None:
    await root.add(RightsGrant(user="alice", nodes=RED))
    script.hanging = "reboot"
    running = await of(ALICE).begin(deployment)
    await script.reached.wait()
    with pytest.raises(RefusedError, match=r"others have rights on red-1 \(alice\)"):
        await root.add(RightsGrant(user="bob", nodes=("red-1",)))
    assert not running.ended
    change = await root.add(RightsGrant(user="bob", nodes=("red-1",), overwrite=True))
    assert change.ended == (running.wid,)
    async with asyncio.timeout(10):
        await running.finish()


async def test_held_nodes_are_given_up(
    root: RightService, of: MakeService, deployment: DeploymentRequest, store: Store
) -> None:
    await root.add(RightsGrant(user="alice", nodes=RED, until=soon(hours=1)))
    held = await of(ALICE).begin(deployment.changed({"breakpoints": ("BootNewEnv",)}))
    await held.finish()
    assert await end_lost(root.site, store) == []
    assert await leases.held(store, RED) == dict.fromkeys(RED, held.wid)
    await pass_time(store, 3600)
    with pytest.raises(RefusedError, match="has no right to deploy"):
        await of(ROOT).begin(Continuation(wid=held.wid, kind=ContinuationKind.RESUME))
    assert await end_lost(root.site, store) == [held.wid]
    assert await leases.held(store, RED) == {}
    assert (await workflows.read(store, held.wid)).state is State.ABORTED
    assert await end_lost(root.site, store) == []


async def test_the_workflow_of_a_dead_process_is_given_up(
    root: RightService, of: MakeService, deployment: DeploymentRequest, store: Store, script: type[Script]
) -> None:
    await root.add(RightsGrant(user="alice", nodes=RED))
    script.hanging = "reboot"
    running = await of(ALICE).begin(deployment)
    await script.reached.wait()
    async with asyncio.timeout(10):
        while (await workflows.read(store, running.wid)).state is not State.RUNNING:
            await asyncio.sleep(0.01)
    await forget_owner(store, running.wid)
    change = update(tables.leases).values(owner=(await workflows.read(store, running.wid)).owner)
    await store.write(lambda connection: connection.execute(change))
    assert (await root.withdraw(RightsWithdrawal(user="alice"))).ended == (running.wid,)
    assert (await workflows.read(store, running.wid)).state is State.ABORTED


async def test_what_another_right_allows_goes_on(
    root: RightService, of: MakeService, deployment: DeploymentRequest, store: Store, script: type[Script]
) -> None:
    await root.add(RightsGrant(user="alice", nodes=RED, devices=SDA3))
    await root.add(RightsGrant(user="alice", nodes=RED, until=soon(hours=1)))
    script.hanging = "reboot"
    running = await of(ALICE).begin(deployment)
    await script.reached.wait()
    await pass_time(store, 3600)
    assert await end_lost(root.site, store) == []
    assert (await root.withdraw(RightsWithdrawal(user="alice", devices=SDA3))).ended == (running.wid,)


async def test_nothing_ends_where_everybody_may_use_every_node(
    root: RightService, of: MakeService, deployment: DeploymentRequest, store: Store
) -> None:
    await root.add(RightsGrant(user="alice", nodes=RED))
    held = await of(ALICE).begin(deployment.changed({"breakpoints": ("BootNewEnv",)}))
    await held.finish()
    site = limited(root.site, RightsKind.DUMMY)
    assert (await granting(site, store, "root").withdraw(RightsWithdrawal(user="alice"))).ended == ()
    assert (await workflows.read(store, held.wid)).state is State.HELD
    assert await end_lost(root.site, store) == [], "it was withdrawn when that meant nothing"


async def test_a_request_that_cannot_be_read_ends_with_its_nodes(
    root: RightService, of: MakeService, deployment: DeploymentRequest, store: Store
) -> None:
    await root.add(RightsGrant(user="alice", nodes=RED))
    held = await of(ALICE).begin(deployment.changed({"breakpoints": ("BootNewEnv",)}))
    await held.finish()
    request = {"request": {"nodes": ["red-1"], "colour": "red"}, "fingerprint": {"nodes": {"red": ["red-1"]}}}
    change = update(tables.workflows).values(request=request)
    await store.write(lambda connection: connection.execute(change))
    assert (await root.withdraw(RightsWithdrawal(user="alice", nodes=("red-2",)))).ended == ()
    assert (await root.withdraw(RightsWithdrawal(user="alice", nodes=("red-1",)))).ended == (held.wid,)
