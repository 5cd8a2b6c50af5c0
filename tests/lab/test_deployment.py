# SPDX-License-Identifier: Apache-2.0
"""Deployments on QEMU machines that end well: by kexec, and with pxelinux up to a breakpoint."""

from __future__ import annotations

import csv
import io

import pytest

from .laboratory import DEPLOY_ENV, Laboratory

pytestmark = [pytest.mark.lab, pytest.mark.deploys("debian12-min"), pytest.mark.timeout(1200)]

# As the tutorial of Grid'5000 has it.
TUTORIAL_STEPS = (
    "SetDeploymentEnv|SetDeploymentEnvUntrusted:1:450&"
    "BroadcastEnv|BroadcastEnvKastafior:1:900&"
    "BootNewEnv|BootNewEnvKexec:1:250"
)


@pytest.mark.nightly
def test_several_machines_by_kexec(machines: Laboratory) -> None:
    lab, nodes = machines, list(machines.addresses)
    run = lab.deploy(f"node-[1-{len(nodes)}]", "-e", "debian12-min", "--force-steps", TUTORIAL_STEPS)
    outcome = run.outcome(800)
    assert (outcome.status, outcome.ok, outcome.ko) == (0, nodes, []), str(outcome)
    assert "\n".join(["The deployment is successful on nodes", *nodes]) in outcome.log
    assert "Time in BootNewEnvKexec-kexec: " in outcome.log
    lab.assert_deployed(run, *nodes)
    assert lab.node_states(*nodes) == ["deployed"] * len(nodes)
    rows = list(csv.reader(io.StringIO(lab.command("kastat", "-F", "wid,hostname,step3,success"))))
    ours = sorted(row[1:] for row in rows if f"Deployment #{row[0]} started" in outcome.log)
    assert ours == [[node, "BootNewEnvKexec", "true"] for node in nodes]
    lab.cycle(run, "node-1")


def test_breakpoint_on_a_node_that_boots_with_pxelinux(pxelinux_lab: Laboratory) -> None:
    lab = pxelinux_lab
    hold = ["--breakpoint", "BroadcastEnvKastafior:manage_user_post_install"]
    run = lab.deploy("node-1", "-e", "debian12-min", *hold)
    outcome = run.outcome(600)
    assert (outcome.status, outcome.ok, outcome.ko) == (0, ["node-1"], []), str(outcome)
    assert outcome.reasons("is held") == {"node-1": "BroadcastEnvChain-manage_user_post_install"}
    assert "is successful" not in outcome.log
    assert "manage_user_post_install ended" not in outcome.log
    assert lab.node_states("node-1") == ["held"]
    look = "findmnt -no SOURCE /mnt/dest; cat /mnt/dest/etc/hostname; ls /mnt/dest/usr/sbin/sshd"
    for key in (DEPLOY_ENV / "id_deploy", lab.directory / "key"):
        done = lab.ssh("node-1", lab.minios_hosts("node-1"), key, look)
        assert (done.returncode, done.stdout) == (0, "/dev/vda4\nnode-1\n/mnt/dest/usr/sbin/sshd\n"), (
            done.stderr
        )
