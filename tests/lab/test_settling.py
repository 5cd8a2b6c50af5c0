# SPDX-License-Identifier: Apache-2.0
"""Systems that answer with the right key after their deployment, but not for long."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from .laboratory import FLEET_DESCRIPTION, Laboratory

pytestmark = [pytest.mark.fleet, pytest.mark.deploys("fleet-min"), pytest.mark.timeout(300)]

STEPS = (
    "SetDeploymentEnv|SetDeploymentEnvUntrusted:1:100&BroadcastEnv|BroadcastEnvChain:1:100&"
    "BootNewEnv|BootNewEnvClassical:0:20"
)
INITTAB = "::sysinit:/etc/init.d/start\n::once:/usr/sbin/start-sshd\n::shutdown:/bin/sync\n"
DIES = "#!/bin/sh\n/usr/sbin/sshd -D -e & sleep 2; kill $!; sleep 100000\n"
LOOPS = "#!/bin/sh\n/usr/sbin/sshd -D -e & sleep 2; reboot -f\n"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    laboratory = Laboratory(f"t-{os.getpid()}-settle", tmp_path_factory.mktemp("lab"))
    try:
        laboratory.up(2, "--driver", "container", "--boot-delay", "1", "--boot-spread", "0")
        laboratory.change_cluster(lambda content: content.update(verify={"settle": 3}))
        yield laboratory
    finally:
        laboratory.down()


def variant(laboratory: Laboratory, name: str, script: str) -> Path:
    """A description of fleet-min whose init starts this script instead of its sshd."""
    content = yaml.safe_load(FLEET_DESCRIPTION.read_text())
    image = laboratory.directory / f"{name}.tar"
    image.write_bytes(
        subprocess.run(["zstd", "-dcq", content["image"]["file"]], stdout=subprocess.PIPE, check=True).stdout
    )
    with tarfile.open(image, "a") as tree:  # what comes later in an archive counts
        for path, text in (("./etc/inittab", INITTAB), ("./usr/sbin/start-sshd", script)):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(text), 0o755
            tree.addfile(entry, io.BytesIO(text.encode()))
    subprocess.run(["zstd", "-q1", "--rm", image], check=True)
    del content["image"]["sha256"]
    content |= {"name": name, "image": content["image"] | {"file": f"{image}.zst"}}
    description = laboratory.directory / f"{name}.yaml"
    description.write_text(yaml.safe_dump(content))
    return description


def test_an_answer_that_does_not_last_is_none(pair: Laboratory) -> None:
    dies = pair.deploy("node-1", "-a", str(variant(pair, "dies", DIES)), "--force-steps", STEPS)
    loops = pair.deploy("node-2", "-a", str(variant(pair, "loops", LOOPS)), "--force-steps", STEPS)
    died, looped = dies.outcome(200), loops.outcome(200)
    assert (died.status, looped.status) == (1, 1), f"{died}\n{looped}"
    assert (died.causes, looped.causes) == ({"node-1": "environment"}, {"node-2": "environment"})
    assert "the system on its disk has answered, but not for 3 s: port 22 took no connection" in died.errors
    assert "the system on its disk has answered" in looped.errors
    assert "it has restarted since" in looped.errors
