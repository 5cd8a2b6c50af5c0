# SPDX-License-Identifier: Apache-2.0
"""Two commands in the same window of reboots, as users start them: one waits, and says so; one is killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.archives import write_image
from tests.keys import write_key
from tests.unit.cli.boot_server import boot_server

pytestmark = pytest.mark.slow

DESCRIPTION = """\
name: known
os: linux
image: {file: image.tar.gz, kind: tar, compression: gzip}
filesystem: ext4
boot: {kernel: /vmlinuz}
"""
REBOOT = """\
#!/bin/sh
touch "$(dirname "$0")/rebooting-$1"
exec sleep 20
"""

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start(configuration: Path, tmp_path: Path) -> Iterator[Start]:
    """``start("node-1")`` deploys on a node whose reboot takes long, in a site with one slot for that."""
    for name in ("vmlinuz", "initrd"):
        (configuration / name).write_bytes(name.encode())
    (configuration / "keys").mkdir()
    key = configuration / "keys" / "id_deploy"
    write_key(key)
    with (configuration / "server.conf").open("a") as file:
        file.write("windows: {reboot: {size: 1}}\n")
    cluster = configuration / "test.conf"
    cluster.write_text(cluster.read_text().replace("true HOSTNAME_FQDN", f"{tmp_path}/reboot HOSTNAME_FQDN"))
    (tmp_path / "reboot").write_text(REBOOT)
    (tmp_path / "reboot").chmod(0o755)
    write_image(tmp_path / "image.tar.gz")
    (tmp_path / "known.yaml").write_text(DESCRIPTION)
    children = []

    def run(node: str) -> subprocess.Popen[str]:
        program = Path(sys.executable).with_name("kadeploy")
        environment = {"PATH": os.environ["PATH"], "KADEPLOY_CONFIG_DIR": str(configuration)}
        children.append(
            subprocess.Popen(
                [program, "-a", "known.yaml", "-m", node],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment,
                cwd=tmp_path,
            )
        )
        return children[-1]

    with boot_server(configuration):
        yield run
        for child in children:
            child.kill()
            child.communicate()


def test_a_command_waits_says_so_and_goes_on_when_the_other_is_killed(
    start: Start, configuration: Path, tmp_path: Path
) -> None:
    first = start("node-1")
    wait_for(tmp_path / "rebooting-node-1")
    second = start("node-2")
    assert second.stdout is not None
    said = next(line for line in second.stdout if "window" in line)
    assert said.strip() == "1 node waits for the reboot window (size 1)"
    assert not (tmp_path / "rebooting-node-2").exists()
    first.kill()
    killed = time.monotonic()
    wait_for(tmp_path / "rebooting-node-2")
    assert time.monotonic() - killed < 5
    assert claims(configuration) == [1], "of the killed one nothing is left"
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=30)
    assert (second.returncode, claims(configuration)) == (130, [])


def wait_for(path: Path, seconds: float = 30) -> None:
    limit = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < limit, f"{path} does not come"
        time.sleep(0.05)


def claims(configuration: Path) -> list[int]:
    """The slots that are held, of each process."""
    connection = sqlite3.connect(configuration / "store" / "kadeploy.sqlite")
    try:
        return [
            held for (held,) in connection.execute("SELECT held FROM window_claims WHERE window = 'reboot'")
        ]
    finally:
        connection.close()
