# SPDX-License-Identifier: Apache-2.0
"""Ways of a stranger on the boot network: no node becomes ok by them, and no secret is given away."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kadeploy.lab.container.initrd import unpack
from kadeploy.store.boot_orders import BootOrders
from kadeploy.store.store import Store
from tests.attack.conftest import HELD, NODE
from tests.attack.stranger import BOOT_ID, RogueMinios, Stranger, secret_of
from tests.lab.laboratory import DEPLOY_ENV, PROGRAMS, Laboratory, Outcome, Run, until

pytestmark = [pytest.mark.fleet, pytest.mark.deploys("fleet-min"), pytest.mark.timeout(120)]

SECONDS = 40  # for a reboot into the miniOS, which takes four
SOON = 6  # for one that cannot come
ELSEWHERE = "172.31.8.2"
PROOF = "cat /run/kadeploy/proof"
STEPS = (
    "SetDeploymentEnv|SetDeploymentEnvUntrusted:0:20&BroadcastEnv|BroadcastEnvChain:0:20&"
    "BootNewEnv|BootNewEnvClassical:0:8"
)
SECRET = re.compile(rb"kadeploy\.boot=[0-9a-f]")


def reboot(lab: Laboratory, node: str = NODE, *options: str, seconds: int = SECONDS) -> Run:
    """Start a reboot into the miniOS, with the user's key."""
    limit = ["--reboot-classical-timeout", str(seconds)]
    return lab.deploy(node, "-r", "deploy_env", *limit, *options, program=[PROGRAMS / "kareboot"])


def assert_not_ok(outcome: Outcome, run: Run, rogue: RogueMinios | None = None) -> None:
    """The node failed, and the stranger has got nothing that it can use."""
    assert (outcome.status, outcome.ok) == (1, []), str(outcome)
    assert (run.directory / "known_hosts").read_text() == ""
    if rogue is not None:
        assert not any("PRIVATE" in line for line in rogue.given)


@pytest.fixture
def ordered(lab: Laboratory, stranger: Stranger) -> Iterator[Stranger]:
    """A stranger with an address of its own, while the order of another node is open."""
    stranger.take_address(ELSEWHERE)
    lab.kalab("fault", HELD, "firmware-hang", "on")
    run = reboot(lab, HELD)
    run.wait_for("wait_reboot on", 20)
    yield stranger
    run.end()


def profile(lab: Laboratory, node: str) -> str:
    return f"/profiles/{lab.addresses[node]}"


# What is fetched --------------------------------------------------------------------------------------


def test_all_that_can_be_fetched_holds_no_secret(lab: Laboratory, ordered: Stranger, tmp_path: Path) -> None:
    own = profile(lab, HELD)
    names = [
        own,
        f"/{own}",
        own.replace("/p", "/./p"),
        f"{own}/",
        f"{own}?x",
        own.replace("p", "%70"),
        own.upper(),
    ]
    answers = {name: ordered.fetch(name) for name in names}
    assert not any(SECRET.search(body) for _, body in answers.values()), answers
    assert answers[own][0] == 200 and b"another address" in answers[own][1]
    for method in ("HEAD", "POST", "PUT", "DELETE"):
        assert not SECRET.search(ordered.fetch(own, method)[1])
    for name in ("/", "/profiles", "/profiles/", "/kernels/", "/../kadeploy.sqlite", "/requests", "/.."):
        assert ordered.fetch(name)[0] in (403, 404, 405)
    unpack(DEPLOY_ENV / "initrd", tmp_path)
    found = subprocess.run(["grep", "-rlI", "PRIVATE KEY", tmp_path / "etc", tmp_path / "root"], stdout=-1)
    assert found.stdout == b""


def test_the_profile_of_another_node_by_tftp(lab: Laboratory, ordered: Stranger, tmp_path: Path) -> None:
    got = tmp_path / "profile"
    url = f"tftp://{ordered.server}{profile(lab, HELD)}"
    argv = ["ip", "netns", "exec", ordered.name, "curl", "-s", "-m", "5", "-o", str(got), url]
    subprocess.run(argv, check=False)
    assert not got.exists() or not SECRET.search(got.read_bytes())


def test_a_flood_of_requests_hides_nobody(lab: Laboratory, ordered: Stranger) -> None:
    for number in range(300):
        ordered.fetch(f"/nothing-{number}")
    run = reboot(lab)
    outcome = run.outcome(60)
    assert outcome.status == 0, str(outcome)


# Who takes the node's address -------------------------------------------------------------------------


def impersonate(lab: Laboratory, stranger: Stranger, engine_key: str, node: str = NODE) -> RogueMinios:
    """Take the address of a node, and serve what plays a miniOS there."""
    stranger.take_address(lab.addresses[node])
    return stranger.serve_miniOS(engine_key)


def hang(lab: Laboratory) -> None:
    """Let the firmware of the node hang, so that the stranger has its address for itself."""
    lab.kalab("fault", NODE, "firmware-hang", "on")


@pytest.fixture
def unknown_macs(lab: Laboratory) -> Iterator[None]:
    """A site that does not know the MAC addresses of its nodes."""
    path = lab.plan.config / "clusters.conf"
    text = path.read_text()
    content = yaml.safe_load(text)
    for group in content["clusters"][0]["nodes"]:
        group.pop("mac", None)
    path.write_text(yaml.safe_dump(content))
    yield
    path.write_text(text)


def test_a_stranger_without_a_secret(lab: Laboratory, stranger: Stranger, engine_key: str) -> None:
    hang(lab)
    rogue = impersonate(lab, stranger, engine_key)
    run = reboot(lab, seconds=SOON)
    for text in ("", "nonsense\n", f"{BOOT_ID} {'0' * 64}\n"):
        rogue.write(text)
        asked = len(rogue.given)
        until(lambda: len(rogue.given) > asked, 20, lambda: "it was asked for no proof")  # noqa: B023
    assert_not_ok(run.outcome(60), run, rogue)
    assert set(rogue.given) == {PROOF}, "it was given more than the request for its proof"


def test_a_replayed_proof(lab: Laboratory, stranger: Stranger, engine_key: str) -> None:
    assert reboot(lab).outcome(60).status == 0
    proof = lab.ssh(NODE, lab.minios_hosts(NODE), DEPLOY_ENV / "id_deploy", PROOF).stdout
    assert re.fullmatch(r"[0-9a-f-]{36} [0-9a-f]{64}\n", proof)
    hang(lab)
    rogue = impersonate(lab, stranger, engine_key)
    rogue.write(proof)
    run = reboot(lab, seconds=SOON)
    assert_not_ok(run.outcome(60), run, rogue)
    assert set(rogue.given) == {PROOF}


@pytest.mark.usefixtures("unknown_macs")
def test_the_secret_of_an_earlier_boot(lab: Laboratory, stranger: Stranger, engine_key: str) -> None:
    hang(lab)
    stranger.take_address(lab.addresses[NODE])
    first = reboot(lab)
    first.wait_for("wait_reboot on", 20)
    secret = stranger.secret(profile(lab, NODE))
    assert len(secret) == 64
    first.end()
    rogue = stranger.serve_miniOS(engine_key)
    rogue.prove(secret)
    run = reboot(lab, NODE, "--force", seconds=SOON)
    assert_not_ok(run.outcome(60), run, rogue)
    assert set(rogue.given) <= {PROOF}


def test_its_own_card_gets_no_secret_where_the_site_knows_the_macs(
    lab: Laboratory, stranger: Stranger, engine_key: str
) -> None:
    hang(lab)
    rogue = impersonate(lab, stranger, engine_key)
    run = reboot(lab, seconds=SOON)
    run.wait_for("wait_reboot on", 20)
    status, body = stranger.fetch(profile(lab, NODE))
    assert not SECRET.search(body) and b"another MAC" in body, (status, body)
    assert_not_ok(run.outcome(60), run, rogue)
    assert set(rogue.given) <= {PROOF}


def race(lab: Laboratory, stranger: Stranger, rogue: RogueMinios, run: Run, fetches: int = 1) -> None:
    """Fetch the profile as soon as it is ordered, before the node's firmware can, and prove by its secret."""
    run.wait_for("reboot on", 20)
    deadline = time.monotonic() + 10
    while fetches and time.monotonic() < deadline:
        if secret := stranger.secret(profile(lab, NODE)):
            rogue.prove(secret)
            fetches -= 1
    assert not fetches


@pytest.mark.usefixtures("unknown_macs")
def test_who_is_faster_than_the_firmware(lab: Laboratory, stranger: Stranger, engine_key: str) -> None:
    rogue = impersonate(lab, stranger, engine_key)
    run = lab.deploy(NODE, "-e", "fleet-min", "--force-steps", STEPS)
    race(lab, stranger, rogue, run)
    outcome = run.outcome(100)
    assert_not_ok(outcome, run, rogue)


def test_who_has_the_mac_of_the_node_too(lab: Laboratory, stranger: Stranger, engine_key: str) -> None:
    mac = next(node.mac for node in lab.plan.nodes if node.name == NODE)
    stranger.take_mac(mac)
    rogue = impersonate(lab, stranger, engine_key)
    run = lab.deploy(NODE, "-e", "fleet-min", "--force-steps", STEPS)
    race(lab, stranger, rogue, run)
    assert_not_ok(run.outcome(100), run, rogue)


def fetched(lab: Laboratory) -> int:
    """How often the profile of the node was fetched for its order."""

    async def read() -> int:
        async with Store.open(lab.plan.store) as store:
            order = await BootOrders(store).read(NODE)
            return order.fetched if order else 0

    return asyncio.run(read())


@pytest.mark.usefixtures("unknown_macs")
def test_who_fetches_after_the_node(lab: Laboratory, stranger: Stranger, engine_key: str) -> None:
    run = reboot(lab)
    until(lambda: fetched(lab) > 0, 20, lambda: "the node has fetched nothing")
    rogue = impersonate(lab, stranger, engine_key)
    while run.process.poll() is None:  # it goes on when the node is booted once more
        rogue.prove(stranger.secret(profile(lab, NODE)) or "0" * 64)
        time.sleep(0.3)
    outcome = run.outcome(60)
    assert_not_ok(outcome, run, rogue)


@pytest.mark.usefixtures("unknown_macs")
def test_a_proven_boot_has_no_secret_any_more(lab: Laboratory, stranger: Stranger) -> None:
    assert reboot(lab).outcome(60).status == 0
    stranger.take_address(lab.addresses[NODE])
    status, body = stranger.fetch(profile(lab, NODE))
    assert status == 200 and not secret_of(body)


def test_an_sshd_in_the_place_of_the_deployed_system(
    lab: Laboratory, stranger: Stranger, engine_key: str
) -> None:
    run = lab.deploy(NODE, "-e", "fleet-min", "--force-steps", STEPS)
    run.wait_for("reboot_from_deploy_env on", 60)
    hang(lab)
    rogue = impersonate(lab, stranger, engine_key)
    assert_not_ok(run.outcome(100), run, rogue)
    assert rogue.given == []


def test_without_a_stranger_all_is_well(lab: Laboratory) -> None:
    outcome = lab.deploy(NODE, "-e", "fleet-min").outcome(100)
    assert outcome.status == 0, str(outcome)
