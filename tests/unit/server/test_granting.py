# SPDX-License-Identifier: Apache-2.0
"""Rights on nodes through a server: its users see their own, and only almighty ones change them."""

from __future__ import annotations

import json
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from kadeploy.client.remote_contract import RemoteContract
from kadeploy.client.server import Server
from kadeploy.config.site import Site
from kadeploy.errors import NotFoundError, RefusedError, RequestError
from kadeploy.service.right_requests import RightsGrant, RightsWithdrawal
from tests.unit.server.serving import OpenServices, ask, serving
from tests.unit.service.granted import limited

NOBODY = 65534
STRANGER = pwd.getpwuid(NOBODY).pw_name

pytestmark = pytest.mark.root


@pytest.fixture
def services(site: Site, address: Path) -> Iterator[OpenServices]:
    with serving(limited(site), address) as found:
        yield found


@pytest.fixture
def remote(services: OpenServices, address: Path) -> RemoteContract:
    return RemoteContract(Server(address, lambda _: None))


async def test_rights_are_given_shown_and_withdrawn(remote: RemoteContract) -> None:
    given = await remote.granting.add(RightsGrant(user="alice", nodes=("red-1",), devices=("/dev/sda3",)))
    assert (given.changed, given.ended, given.limited) == (True, (), True)
    assert [right.node for right in (await remote.granting.list("alice")).rights] == ["red-1"]
    assert (await remote.granting.withdraw(RightsWithdrawal(user="alice"))).changed
    assert (await remote.granting.list()).rights == ()
    with pytest.raises(NotFoundError, match="unknown node: green-1"):
        await remote.granting.add(RightsGrant(user="alice", nodes=("green-1",)))


async def test_a_stranger_sees_only_his_own_and_changes_nothing(
    remote: RemoteContract, address: Path
) -> None:
    for user in ("alice", STRANGER):
        await remote.granting.add(RightsGrant(user=user, nodes=("red-1",), overwrite=user == STRANGER))
    await remote.granting.add(RightsGrant(user="alice", nodes=("red-2",)))
    seen = ask(address, "/v1/rights", uid=NOBODY).document["rights"]
    assert [(right["user"], right["node"]) for right in seen] == [(STRANGER, "red-1")]
    assert ask(address, "/v1/rights?user=alice", uid=NOBODY).status == 403
    headers = {
        "content-type": "application/json",
        "x-kadeploy-user": "root",
        "authorization": "Basic cm9vdDo=",
    }
    for target in ("/v1/rights", "/v1/rights/withdraw"):
        body = json.dumps({"user": "alice"}).encode()
        refused = ask(address, target, "POST", headers=headers, body=body, uid=NOBODY)
        assert (refused.status, refused.document["message"]) == (403, f"{STRANGER} may not change rights")
    assert len((await remote.granting.list()).rights) == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user": "*"},
        {"user": "a", "nodes": []},
        {"user": "a", "until": "2020-01-01T00:00:00Z"},
        {"user": "a", "x": 1},
    ],
)
def test_requests_that_make_no_sense(services: OpenServices, address: Path, body: dict[str, object]) -> None:
    headers = {"content-type": "application/json"}
    answer = ask(address, "/v1/rights", "POST", headers=headers, body=json.dumps(body).encode())
    assert answer.status == 400
    assert answer.document["code"] == "request"


async def test_refusals_are_those_of_the_service(remote: RemoteContract) -> None:
    await remote.granting.add(RightsGrant(user="alice"))
    with pytest.raises(RefusedError, match="which can have no exception"):
        await remote.granting.withdraw(RightsWithdrawal(user="alice", nodes=("red-1",)))
    with pytest.raises(RequestError, match="is no path of a device"):
        RightsGrant(user="alice", devices=("sda",))
