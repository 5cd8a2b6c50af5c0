# SPDX-License-Identifier: Apache-2.0
"""Reboots: what they prove of a node, and what is recorded; real steps against ssh servers on loopback."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import asyncssh
import pytest

from kadeploy.boot.repository import BootRepository
from kadeploy.boot.request_log import RequestLog
from kadeploy.boot.requests import BootFileRequest, log_path
from kadeploy.config.expression import Expression
from kadeploy.config.site import Site
from kadeploy.errors import RefusedError, RequestError
from kadeploy.operations import workflows as workflow_list
from kadeploy.operations.reboot.outcome import RebootOutcome
from kadeploy.operations.reboot.plan import plan_reboot
from kadeploy.operations.reboot.request import RebootKind, RebootRequest
from kadeploy.operations.request import EnvironmentName
from kadeploy.operations.result import OperationResult
from kadeploy.operations.run.feed import Feed
from kadeploy.operations.run.operation import Operation
from kadeploy.store import leases, minios_boots, node_states, statistics, workflows
from kadeploy.store.boot_orders import BootOrders
from kadeploy.store.filter import Filter
from kadeploy.store.node_states import InstalledSystem, NodeState
from kadeploy.store.store import Store
from kadeploy.vocabulary.workflow import State
from tests.stores import forget_owner
from tests.unit.operations.conftest import run

ADDRESS = "127.0.1.1"  # of red-1


@pytest.fixture(scope="module")
def disk_key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


@pytest.fixture
def port() -> int:
    """A port of red-1 at which nobody listens."""
    with socket.create_server((ADDRESS, 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def listening(site: Site, port: int) -> Site:
    """The site, whose nodes have their ssh servers at a port that is ours."""
    network = site.server.network
    ports = network.ports.model_copy(update={"ssh": port})
    server = site.server.model_copy(update={"network": network.model_copy(update={"ports": ports})})
    return replace(site, server=server)


@asynccontextmanager
async def system(port: int, *keys: asyncssh.SSHKey) -> AsyncIterator[None]:
    """The system of red-1 is up."""
    acceptor = await asyncssh.listen(ADDRESS, port, server_host_keys=list(keys))
    try:
        yield
    finally:
        acceptor.close()
        await acceptor.wait_closed()


def public(key: asyncssh.SSHKey) -> str:
    return " ".join(key.export_public_key("openssh").decode().split()[:2])


async def deployed(store: Store, *names: str, key: asyncssh.SSHKey | None = None, **about: Any) -> None:
    """Record that nodes run debian:1 from their deploy partition."""
    keys = (public(key or asyncssh.generate_private_key("ssh-ed25519")),)
    await node_states.record(
        store,
        names,
        NodeState.DEPLOYED,
        user="alice",
        workflow_id="D-1",
        environment=("debian", 1, "root"),
        installed={name: InstalledSystem(about.get("device", "/dev/sda3"), keys) for name in names},
    )


async def reboot(site: Site, store: Store, *nodes: str, **settings: Any) -> OperationResult:
    settings = {"timeout": Expression("30"), **settings}
    request = RebootRequest(user="alice", nodes=nodes, **settings)
    plan = await plan_reboot(site, store, request)
    return await run(Operation(plan, RebootOutcome(plan), store, Feed()))


async def state_of(store: Store, node: str) -> str:
    return str((await node_states.read(store, [node]))[node].state)


async def rebooted_into(
    key: asyncssh.SSHKey, before: asyncssh.SSHKey, site: Site, store: Store, seconds: str = "30"
) -> Any:
    """The result for red-1, on which ``before`` answers until a second after the order, then ``key``."""
    port = site.server.network.ports.ssh
    async with system(port, before):
        running = asyncio.create_task(reboot(site, store, "red-1", timeout=Expression(seconds)))
        await asyncio.sleep(1)
    await asyncio.sleep(0.5)
    async with system(port, key):
        return (await running).nodes[0]


async def test_the_system_on_its_disk_comes_back(
    listening: Site, store: Store, disk_key: asyncssh.SSHKey
) -> None:
    await deployed(store, "red-1", key=disk_key)
    node = await rebooted_into(disk_key, disk_key, listening, store)
    assert (node.phase, node.reason, node.host_keys) == ("ok", "", (public(disk_key),))
    assert await state_of(store, "red-1") == "rebooted"
    record = (await node_states.read(store, ["red-1"]))["red-1"]
    assert (record.environment_name, record.host_keys) == ("debian", (public(disk_key),))
    assert await leases.held(store, ["red-1"]) == {}
    [row] = await statistics.list_records(store, Filter())
    assert row.wid.startswith("R-") and row.success and (row.step1, row.step2) == ("RebootSimple", "")


async def test_another_system_than_that_on_its_disk_is_not_good(
    listening: Site, store: Store, disk_key: asyncssh.SSHKey
) -> None:
    await deployed(store, "red-1", key=disk_key)
    other = asyncssh.generate_private_key("ssh-ed25519")
    node = await rebooted_into(other, disk_key, listening, store, "5")
    assert (node.phase, node.cause) == ("ko", "verification")
    assert "another system than the one on its disk" in node.reason
    assert await state_of(store, "red-1") == "reboot_failed"


async def test_a_node_that_obeys_no_order_is_not_good(
    listening: Site, store: Store, port: int, disk_key: asyncssh.SSHKey
) -> None:
    await deployed(store, "red-1", key=disk_key)
    async with system(port, disk_key):
        node = (await reboot(listening, store, "red-1", timeout=Expression("1"))).nodes[0]
    assert (node.phase, node.place) == ("ko", "RebootSimple-wait_reboot")
    assert node.reason.endswith(f"it was not rebooted: port {port} has answered ever since")


async def test_boot_files_prove_a_reboot_that_was_too_quick_to_see(
    listening: Site, store: Store, port: int, disk_key: asyncssh.SSHKey
) -> None:
    await deployed(store, "red-1", key=disk_key)
    root = listening.path(listening.server.pxe.dhcp.repository)
    log_path(root).mkdir()
    async with system(port, disk_key):
        running = asyncio.create_task(reboot(listening, store, "red-1"))
        await asyncio.sleep(1)
        assert not running.done()
        asked = BootFileRequest(datetime.now(UTC), "http", ADDRESS, "/profiles/127.0.1.1", 200, 9, 0.1)
        RequestLog(log_path(root)).append(asked)
        assert (await running).nodes[0].phase == "ok"
    shutil.rmtree(log_path(root))


async def test_where_nothing_is_known_any_system_will_do_but_the_minios(
    listening: Site, store: Store, disk_key: asyncssh.SSHKey
) -> None:
    any_key = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
    assert (await rebooted_into(any_key, disk_key, listening, store)).phase == "ok"
    minios = asyncssh.generate_private_key("ssh-ed25519")
    await minios_boots.remember(store, "red-1", public(minios), "this boot")
    node = await rebooted_into(minios, disk_key, listening, store, "5")
    assert node.phase == "ko" and "the miniOS answers" in node.reason


async def test_a_failed_reboot_puts_the_boot_profile_back(site: Site, store: Store) -> None:
    plan = await plan_reboot(site, store, RebootRequest(user="alice", nodes=("red-1",)))
    orders, node = BootOrders(store), plan.nodes[0]
    before = await orders.place(node, "profiles/127.0.1.1", "#!ipxe\nexit\n", secret_wanted=False)
    settings = {"kind": RebootKind.SET_PXE, "profile": "#!ipxe\nchain NODE_SINGULARITY\n"}
    result = await reboot(
        site, store, "red-1", singularities={"red-1": "a"}, timeout=Expression("0.5"), **settings
    )
    assert result.nodes[0].phase == "ko"
    order = await orders.read(node.name)
    assert order is not None and order.number > before.number
    assert (order.text, order.path, order.secret_wanted) == (before.text, before.path, False)


async def test_where_nothing_was_ordered_before_nothing_is_afterwards(site: Site, store: Store) -> None:
    settings = {"kind": RebootKind.SET_PXE, "profile": "#!ipxe\nexit\n", "timeout": Expression("0.5")}
    assert (await reboot(site, store, "red-1", **settings)).nodes[0].phase == "ko"
    assert await BootOrders(store).read("red-1") is None


async def test_a_node_that_would_boot_the_minios_is_refused(site: Site, store: Store) -> None:
    plan = await plan_reboot(site, store, RebootRequest(user="alice", nodes=("red-1", "red-2")))
    boot, node = BootRepository.of(site), plan.nodes[0]
    minios = plan.clusters[0].facts.minios
    text = boot.minios_profile(kernel=minios.kernel, initrd=minios.initrd, secret=True)
    await BootOrders(store).place(node, boot.profile_path(node), text, secret_wanted=True)
    with pytest.raises(RefusedError, match="red-1 would boot the deployment environment again"):
        await reboot(site, store, "red-1", "red-2")


async def test_a_value_for_every_node(site: Site, store: Store) -> None:
    settings = {"kind": RebootKind.SET_PXE, "profile": "NODE_SINGULARITY", "singularities": {"red-1": "a"}}
    with pytest.raises(RequestError, match="for which red-2 has no value"):
        await reboot(site, store, "red-1", "red-2", **settings)


@pytest.mark.parametrize(
    ("wanted", "settings", "says"),
    [
        (EnvironmentName("other"), {}, "red-1 has debian:1 of root on /dev/sda3; red-2 has no known"),
        (EnvironmentName("debian", version=2), {}, "debian:2 cannot be booted from every disk: red-1 has"),
        (EnvironmentName("debian", owner="bob"), {}, "red-1 has debian:1 of root on /dev/sda3"),
        (EnvironmentName("debian"), {"partition": 5}, "red-1 has debian:1 of root on /dev/sda3"),
        (EnvironmentName("debian"), {"block_device": "/dev/sdb", "partition": 3}, "red-1 has debian:1"),
        (EnvironmentName("debian"), {"partition": 3}, "every disk: red-2 has no known environment"),
    ],
)
async def test_only_what_is_known_to_be_on_a_disk_is_booted(
    site: Site, store: Store, wanted: EnvironmentName, settings: dict[str, Any], says: str
) -> None:
    await deployed(store, "red-1")
    with pytest.raises(RefusedError, match=says):
        await reboot(
            site, store, "red-1", "red-2", kind=RebootKind.RECORDED_ENV, environment=wanted, **settings
        )
    assert await workflows.list_states(store) == []


async def test_a_recorded_environment_is_booted_from_its_disk(
    listening: Site, store: Store, port: int, disk_key: asyncssh.SSHKey
) -> None:
    await deployed(store, "red-1", key=disk_key)
    settings = {"kind": RebootKind.RECORDED_ENV, "environment": EnvironmentName("debian"), "partition": 3}
    async with system(port, asyncssh.generate_private_key("ssh-ed25519")):
        running = asyncio.create_task(reboot(listening, store, "red-1", **settings))
        await asyncio.sleep(1)
    await asyncio.sleep(0.5)
    async with system(port, disk_key):
        assert (await running).nodes[0].phase == "ok"
    assert await state_of(store, "red-1") == "recorded_env"
    order = await BootOrders(store).read("red-1")
    assert order is not None and "sanboot" in order.text


async def test_a_killed_reboot_can_be_abandoned(site: Site, store: Store) -> None:
    await deployed(store, "red-1")
    running = asyncio.create_task(reboot(site, store, "red-1", timeout=Expression("60")))
    async with asyncio.timeout(30):
        while await state_of(store, "red-1") != "rebooting":
            await asyncio.sleep(0.05)
    [workflow] = await workflows.list_states(store)
    running.cancel()
    await asyncio.wait([running])
    await node_states.change(store, ["red-1"], NodeState.REBOOTING, user="alice", workflow_id=workflow.id)
    await workflows.change_state(store, workflow.id, State.RUNNING)
    await forget_owner(store, workflow.id)
    [overview] = await workflow_list.list_latest(store, None)
    assert overview.state == "interrupted"
    assert [(node.name, str(node.state)) for node in overview.nodes] == [("red-1", "rebooting")]
    left = await workflows.read(store, workflow.id)
    assert await workflow_list.abandon(store, left) == ["red-1"]
    record = (await node_states.read(store, ["red-1"]))["red-1"]
    assert (record.state, record.environment_name) == ("aborted", "debian")
