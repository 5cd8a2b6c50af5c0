# SPDX-License-Identifier: Apache-2.0
"""Deployments in which nodes fail: those are told with step and reason, and the others are deployed."""

from __future__ import annotations

import io
import os
import re
import shutil
import tarfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from kadeploy.config.server import MEGABYTE
from kadeploy.nodes import parse

from .laboratory import DESCRIPTION, Laboratory, image_description, until

pytestmark = [
    pytest.mark.fleet,
    pytest.mark.nightly,
    pytest.mark.deploys("debian12-min"),
    pytest.mark.timeout(1200),
]

SET_UP = "SetDeploymentEnv|SetDeploymentEnvUntrusted:0:400&BroadcastEnv|BroadcastEnvChain:0:600&BootNewEnv|"
POST_INSTALL = """\
#!/bin/sh
[ "$KADEPLOY_NODE" = node-2 ] || exit 0
echo "there is no licence for $KADEPLOY_NODE" >&2
exit 3
"""


def test_power_cut_during_the_broadcast_and_a_node_that_never_comes_back(lab: Laboratory) -> None:
    lab.command("kaenv", "-a", str(lab.describe("second.yaml", version=2)))
    steps = f"{SET_UP}BootNewEnvClassical:0:{lab.boot_seconds}"
    with ExitStack() as faults:
        with lab.slow_link("node-3"):
            run = lab.deploy("node-[1-3]", "-e", "debian12-min", "--env-version", "2", "--force-steps", steps)
            run.wait_for("send_environment on node-[1-3]", 450)
            # At once: node-2 waits for nobody, and on a busy host has rebooted before node-3 is switched off.
            faults.enter_context(lab.fault("node-2", "no-boot"))
            enough = lab.received("node-3") + 5 * MEGABYTE
            until(lambda: lab.received("node-3") > enough, 200, lambda: "no data came to node-3")
            lab.kalab("power", "node-3", "off")
        outcome = run.outcome(900)
    assert (outcome.status, outcome.ok, outcome.ko) == (1, ["node-1"], ["node-2", "node-3"]), str(outcome)
    reasons = outcome.reasons("failed")
    assert list(reasons) == ["node-2", "node-3"]
    assert reasons["node-2"].startswith("BootNewEnvClassical-wait_reboot: ")
    assert reasons["node-3"].startswith("BroadcastEnvChain-send_environment: ")
    assert "console: " in outcome.errors, "the console of node-2 is no evidence"
    assert outcome.causes == {"node-2": "firmware/DHCP", "node-3": "broadcast"}, outcome.errors
    assert "it has asked for no boot file since its reboot" in reasons["node-2"]
    assert lab.node_states("node-1", "node-2", "node-3") == ["deployed", "deploy_failed", "deploy_failed"]
    lab.assert_deployed(run, "node-1")
    lab.cycle(run, "node-1")


def test_bmc_that_refuses_and_post_install_that_fails(lab: Laboratory) -> None:
    archive = lab.directory / "postinstall.tgz"
    pack(archive, POST_INSTALL)
    entry = {"archive": str(archive), "compression": "gzip", "script": "postinstall"}
    description = lab.describe("post-install.yaml", postinstalls=[entry])
    lab.kalab("power", "node-3", "off")
    with lab.fault("node-3", "no-power"):
        steps = f"{SET_UP}BootNewEnvKexec:0:300"
        run = lab.deploy("node-[1-3]", "-a", str(description), "--force-steps", steps)
        outcome = run.outcome(900)
    assert (outcome.status, outcome.ok, outcome.ko) == (1, ["node-1"], ["node-2", "node-3"]), str(outcome)
    reasons = outcome.reasons("failed")
    assert list(reasons) == ["node-2", "node-3"]
    assert reasons["node-2"].startswith("BroadcastEnvChain-manage_user_post_install: ")
    assert "3" in reasons["node-2"]
    assert reasons["node-3"].startswith("SetDeploymentEnvUntrusted-reboot: ")
    assert "there is no licence for node-2" in outcome.errors
    assert outcome.causes == {"node-2": "post-install", "node-3": "power"}, outcome.errors
    assert "failed: 1 post-install (node-2), 1 power (node-3)" in outcome.errors.splitlines()
    assert "node-3,power" in lab.command("kastat", "-F", "hostname,cause").splitlines()
    lab.assert_deployed(run, "node-1")


def test_image_with_another_digest_than_declared(lab: Laboratory) -> None:
    """No node is touched for one that is known to be wrong; what is written while it is sent shows there."""
    image = lab.directory / "image.tar.zst"
    shutil.copyfile(DESCRIPTION.parent / image_description()["file"], image)
    right = image_description() | {"file": str(image)}
    wrong = right | {"sha256": "0123456789abcdef" * 4}
    steps = f"{SET_UP}BootNewEnvKexec:0:300".replace("Chain:0", "Chain:2")
    refused = lab.deploy("node-[1-2]", "-a", str(lab.describe("wrong.yaml", image=wrong))).outcome(60)
    assert (refused.status, refused.ok, refused.ko) == (3, [], []), str(refused)
    assert "SHA-256" in refused.errors

    right.pop("sha256", None)
    description = lab.describe("changed.yaml", image=right)
    run = lab.deploy("node-[1-2]", "-a", str(description), "--force-steps", steps)
    run.wait_for("  wait_reboot on node-", 100)
    with image.open("r+b") as file:
        file.seek(-1000, os.SEEK_END)
        file.write(b"damage")
    outcome = run.outcome(900)
    assert (outcome.status, outcome.ok, outcome.ko) == (1, [], ["node-1", "node-2"]), str(outcome)
    for reason in outcome.reasons("failed").values():
        assert reason.startswith("BroadcastEnvChain-send_environment: ")
        # By the digest of the whole; by that of the chunk where a broadcast of this image has left its seals.
        assert "SHA-256" in reason or reason.endswith(": the image was changed after it was checked")
    assert outcome.causes == dict.fromkeys(["node-1", "node-2"], "image"), outcome.errors
    begun = re.findall(r"^  send_environment on (\S+)$", outcome.log, flags=re.MULTILINE)
    assert sum("node-1" in parse(names) for names in begun) == 1, "it is not tried again"
    assert "is successful" not in outcome.log
    assert lab.node_states("node-1", "node-2") == ["deploy_failed"] * 2


def test_boot_file_that_is_missing(lab: Laboratory) -> None:
    lab.kalab("power", "node-1", "off")
    steps = (
        f"SetDeploymentEnv|SetDeploymentEnvUntrusted:0:{lab.boot_seconds // 2}&"
        "BroadcastEnv|BroadcastEnvChain:0:9&BootNewEnv|BootNewEnvKexec:0:9"
    )
    run = lab.deploy("node-1", "-e", "debian12-min", "--force-steps", steps)
    run.wait_for("  wait_reboot on node-1", 100)
    with lab.hidden_boot_files("kernels/*-initrd"):
        outcome = run.outcome(200)
    reason = outcome.reasons("failed")["node-1"]
    assert outcome.causes == {"node-1": "TFTP/HTTP boot"}, str(outcome)
    assert "it got nothing of its initrd: http status 404" in reason


def pack(archive: Path, script: str) -> None:
    """A post-install of one script."""
    with tarfile.open(archive, "w:gz") as file:
        member = tarfile.TarInfo("postinstall")
        member.size, member.mode = len(script.encode()), 0o755
        file.addfile(member, io.BytesIO(script.encode()))
