# SPDX-License-Identifier: Apache-2.0
"""Custom steps on a node: commands, files and scripts before, after and instead of micro-steps."""

from __future__ import annotations

import pytest

from .laboratory import Laboratory

pytestmark = [
    pytest.mark.fleet,
    pytest.mark.nightly,
    pytest.mark.deploys("debian12-min"),
    pytest.mark.timeout(1200),
]

STEPS = """\
SetDeploymentEnv:
  format_deploy_part:
    substitute:
      - {name: mkfs, action: exec, command: "mkfs.ext4 -q -F -L site $KADEPLOY_DEPLOY_PART"}
BroadcastEnv:
  check_kernel_files:
    pre-ops:
      - {name: release, action: send, file: release, destination: $KADEPLOY_ENV_EXTRACTION_DIR/etc/site}
  sync:
    pre-ops:
      - {name: tune, action: run, file: tune.sh, params: "--node $KADEPLOY_NODE"}
    post-ops:
      - {name: check, action: exec, command: "e2label $KADEPLOY_DEPLOY_PART | grep -x site"}
"""
TUNE = '#!/bin/sh\necho "$1 $2 of $KADEPLOY_CLUSTER" > "$KADEPLOY_ENV_EXTRACTION_DIR/etc/tuned"\n'


def test_custom_steps(lab: Laboratory) -> None:
    """Held in the middle, and begun again at the broadcast: the file system is made anew as the first one."""
    files = {"steps.yaml": STEPS, "tune.sh": TUNE, "release": "today\n"}
    for name, text in files.items():
        (lab.directory / name).write_text(text)
    custom = ["--custom-steps", str(lab.directory / "steps.yaml"), "--breakpoint", "BroadcastEnv:sync-tune"]
    held = lab.deploy("node-2", "-e", "debian12-min", *custom, "--write-workflow-id", "wid").outcome(800)
    assert held.reasons("is held") == {"node-2": "BroadcastEnvChain-sync-tune"}, held
    wid = (lab.runs[-1].directory / "wid").read_text()
    again = lab.deploy("node-2", "--resume", wid, "--from", "BroadcastEnv").outcome(800)
    assert again.reasons("is held") == {"node-2": "BroadcastEnvChain-sync-tune"}, again
    run = lab.deploy("node-2", "--resume", wid)
    outcome = run.outcome(800)
    assert (outcome.status, outcome.ok) == (0, ["node-2"]), str(outcome)
    look = "cat /etc/tuned /etc/site/release; findmnt -no LABEL /"
    done = lab.ssh("node-2", run.directory / "known_hosts", lab.directory / "key", look)
    assert done.stdout == "--node node-2 of lab\ntoday\nsite\n", done.stderr
    steps = lab.command("kastat", "--steps", "-w", wid)
    assert "SetDeploymentEnvUntrusted-format_deploy_part-mkfs " in steps
    assert "BroadcastEnvChain-sync-check " in steps
