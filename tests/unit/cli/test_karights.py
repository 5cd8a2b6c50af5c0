# SPDX-License-Identifier: Apache-2.0
"""karights as administrators and prologues run it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from kadeploy.caller import Caller
from tests.keys import write_key
from tests.unit.cli.conftest import SERVER, Command

PAGE = Path(__file__).parents[3] / "docs" / "administrators" / "rights.md"
ME = Caller.of_process().name

HEADER = """\
User            Node                                      Partitions
####            ####                                      ##########
"""
DEPLOYMENT = """\
name: mini
os: linux
image: {file: image.tgz, kind: tar, compression: gzip}
filesystem: ext4
boot: {kernel: /vmlinuz}
"""
ALL = "*                                         "


def write_settings(configuration: Path, kind: str, almighty: str = ME) -> None:
    rights = f'rights: {{kind: {kind}, almighty_users: "{almighty}, deploy"}}'
    (configuration / "server.conf").write_text(
        SERVER.replace('rights: {almighty_users: "root, deploy"}', rights)
    )


@pytest.fixture(autouse=True)
def limited(configuration: Path) -> None:
    """The site has rights, and the test's user is almighty there."""
    write_settings(configuration, "db")


def test_rights_are_given_listed_and_withdrawn(process: Command) -> None:
    added = process("karights", "-a", "-u", "alice", "-m", "node-[2-3]", "-p", "/dev/vda3", "-p", "/dev/vda5")
    assert (added.returncode, added.stdout, added.stderr) == (0, "", "")
    process("karights3", "-a", "-u", "deploy", "--until", "2100:01:31:18:00:00")
    assert process("karights", "-l").stdout == (
        f"{HEADER}"
        "alice           node-2                                    /dev/vda3,/dev/vda5\n"
        "alice           node-3                                    /dev/vda3,/dev/vda5\n"
        f"deploy          {ALL}* until 2100-01-31 18:00:00\n"
    )
    [row] = json.loads(process("karights", "-s", "-u", "deploy", "--json").stdout)
    assert row == {"user": "deploy", "node": "*", "device": "*", "until": "2100-01-31T18:00:00+00:00"}
    deleted = process("karights", "-d", "-u", "alice")
    assert (deleted.returncode, deleted.stdout, deleted.stderr) == (0, "", "")
    listed = process("karights", "-l", "-u", "alice")
    assert (listed.returncode, listed.stdout, listed.stderr) == (0, "", "No right has been found\n")


def test_what_is_so_already_is_no_failure(command: Command) -> None:
    line = ("-u", "alice", "-m", "node-1")
    assert command("karights", "-a", *line).stderr == ""
    again = command("karights", "-a", *line)
    assert (again.returncode, again.stderr) == (0, "nothing has changed: alice has these rights already\n")
    command("karights", "-d", *line)
    again = command("karights", "-d", *line)
    assert (again.returncode, again.stderr) == (0, "nothing has changed: alice has no such right\n")


@pytest.mark.parametrize(
    ("end", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("12h", 43200), ("7d", 604800)]
)
def test_an_end_is_a_duration(command: Command, end: str, seconds: int) -> None:
    before = int(time.time())
    assert command("karights", "-a", "-u", "alice", "--until", end).returncode == 0
    [row] = json.loads(command("karights", "-l", "--json").stdout)
    assert 0 <= datetime.fromisoformat(row["until"]).timestamp() - before - seconds <= 5


def test_an_end_in_seconds_since_1970(command: Command) -> None:
    assert command("karights", "-a", "-u", "alice", "--until", "@4102444800").returncode == 0
    assert "until 2100-01-01 00:00:00\n" in command("karights", "-l").stdout


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "karights: nothing to do is given\nhint: give one of -a, -d and -l"),
        (["-a", "-l"], 2, "karights: only one thing can be done at a time"),
        (["-a"], 2, "karights: no user is given\nhint: add -u USER"),
        (["-d", "-u", "alice", "-o"], 2, "-o and --until are for -a"),
        (["-l", "--until", "1h"], 2, "-o and --until are for -a"),
        (["-l", "-p", "/dev/vda3"], 2, "-p is for -a and -d"),
        (["-a", "-u", "alice", "--json"], 2, "--json is for -l"),
        (["-a", "-u", "alice", "-m", "node-[1"], 2, "is not a node set"),
        (["-a", "-u", "alice", "-m", "node-9"], 3, "karights: unknown node: node-9"),
        (["-a", "-u", "*"], 2, "karights: -u: '*' is no user"),
        (["-a", "-u", "alice", "-p", "vda3"], 2, "karights: -p: is no path of a device"),
        (["-a", "-u", "alice", "--until", "soon"], 2, "'soon' is no duration"),
        (["-a", "-u", "alice", "--until", "2020-01-31 00:00:00"], 2, "karights: --until: is over already"),
        (["-a", "-u", "alice", "--until", "9999999999d"], 2, "is too long"),
        (["-a", "-u", "alice", "--until", "@9999999999999"], 2, "is no duration"),
        (["-a", "-u", "alice", "-m", ""], 2, "a node set is empty"),
    ],
)
def test_what_cannot_be_done(command: Command, arguments: list[str], status: int, message: str) -> None:
    result = command("karights", *arguments)
    assert (result.returncode, result.stdout) == (status, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert command("karights", "-l").stdout == ""


@pytest.mark.parametrize("action", ["-a", "-d", "-l"])
def test_an_empty_file_does_not_mean_all_nodes(command: Command, tmp_path: Path, action: str) -> None:
    (tmp_path / "nodes").write_text("# none\n")
    command("karights", "-a", "-u", "alice")
    result = command("karights", action, "-u", "alice", "-f", "nodes")
    assert (result.returncode, result.stdout) == (2, "")
    assert "no node is chosen" in result.stderr
    assert command("karights", "-l").stdout == f"{HEADER}alice           {ALL}*\n"


def test_nodes_of_a_job_are_not_taken_for_all(command: Command, tmp_path: Path) -> None:
    """Without -m and -f all nodes are meant, whatever the batch scheduler says."""
    (tmp_path / "nodes").write_text("node-1\n")
    result = command("karights", "-a", "-u", "alice", variables={"OAR_NODE_FILE": "nodes"})
    assert (result.returncode, result.stderr) == (0, "")
    assert command("karights", "-l").stdout == f"{HEADER}alice           {ALL}*\n"


def test_others_are_in_the_way(command: Command) -> None:
    command("karights", "-a", "-u", "alice", "-m", "node-[1-2]")
    refused = command("karights", "-a", "-u", "bob", "-m", "node-2")
    assert (refused.returncode, refused.stderr) == (
        3,
        "karights: others have rights on node-2 (alice)\nhint: -o withdraws theirs, and ends their work\n",
    )
    assert command("karights", "-a", "-o", "-u", "bob", "-m", "node-2").returncode == 0
    shown = [line.split()[:2] for line in command("karights", "-l").stdout.splitlines()[2:]]
    assert shown == [["alice", "node-1"], ["bob", "node-2"]]
    command("karights", "-a", "-o", "-u", "bob")
    refused = command("karights", "-d", "-u", "bob", "-m", "node-2")
    assert (refused.returncode, refused.stderr) == (
        3,
        "karights: bob has a right on all nodes, which can have no exception\n"
        "hint: karights -d all of that, and karights -a what shall remain\n",
    )


def test_only_almighty_users_change_rights(command: Command, configuration: Path) -> None:
    command("karights", "-a", "-u", "alice")
    write_settings(configuration, "db", almighty="admin")
    result = command("karights", "-a", "-u", ME)
    assert (result.returncode, result.stderr) == (
        3,
        f"karights: {ME} may not change rights\nhint: these users may: admin, deploy\n",
    )
    assert command("karights", "-l").stderr == "No right has been found\n"
    assert command("karights", "-l", "-u", "alice").returncode == 3


def test_it_is_told_where_rights_do_not_count(command: Command, configuration: Path) -> None:
    write_settings(configuration, "dummy")
    result = command("karights", "-a", "-u", "alice")
    assert (result.returncode, result.stderr) == (
        0,
        "rights.kind in server.conf is dummy: everybody may use every node (warning)\n",
    )


def test_who_has_no_right_is_told_on_what(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mini.yaml").write_text(DEPLOYMENT)
    (tmp_path / "image.tgz").touch()
    told = f"{ME} has no right to deploy /dev/vda3 of node-[1-2]\nhint: reserve the nodes, or ask an "
    for option in ("--dry-run", "-V0"):
        result = command("kadeploy", "-a", "mini.yaml", "-m", "node-[1-2]", option)
        assert (result.returncode, result.stdout) == (3, "")
        assert result.stderr == f"kadeploy: {told}administrator; karights -l shows the rights of now\n"
    result = command("kareboot", "-m", "node-1")
    assert result.returncode == 3
    assert f"kareboot: {ME} has no right to reboot node-1\n" in result.stderr


def scripts() -> dict[str, str]:
    """The scripts of the page, by the first words of their comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return {block.splitlines()[1].split()[1]: block for block in blocks}


def test_the_prologue_and_the_epilogue_of_the_page(
    configuration: Path, tmp_path: Path, command: Command
) -> None:
    """No node has a production system here: what they end with is refused, and so is the epilogue."""
    (tmp_path / "nodes").write_text("node-1\nnode-1\nnode-2\n")
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    variables = {"PATH": programs, "KADEPLOY_CONFIG_DIR": str(configuration), "TZ": "UTC"}

    def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        script = tmp_path / name
        script.write_text(scripts()[name])
        return subprocess.run(
            ["sh", script, *arguments],
            cwd=tmp_path,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    (configuration / "keys").mkdir()
    write_key(configuration / "keys/id_deploy")
    command("karights", "-a", "-u", "bob", "-m", "node-2")
    command("karights", "-a", "-u", ME)
    before = run("prologue", "17", "alice", "nodes", "3600")
    assert (before.returncode, before.stdout, before.stderr) == (0, "", "")
    shown = [line.split()[:3] for line in command("karights", "-l").stdout.splitlines()[2:]]
    assert shown == [["alice", "node-1", "/dev/sda3"], ["alice", "node-2", "/dev/sda3"], [ME, "*", "*"]]
    after = run("epilogue", "17", "alice", "nodes")
    assert after.returncode == 3
    assert "kareboot: production cannot be booted from every disk" in after.stderr
    assert "kadeploy: there is no environment production" in after.stderr
    assert [line.split()[0] for line in command("karights", "-l").stdout.splitlines()[2:]] == [ME]
