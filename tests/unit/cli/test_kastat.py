# SPDX-License-Identifier: Apache-2.0
"""kastat as users run it."""

from __future__ import annotations

import asyncio
import csv
import fcntl
import json
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kadeploy.cli.report_options import FIELDS
from kadeploy.store import receptions, statistics, workflows
from kadeploy.store.receptions import Reception
from kadeploy.store.statistics import Record, StepRun
from kadeploy.store.store import Store
from kadeploy.terminal import printable
from kadeploy.vocabulary.workflow import WorkflowKind
from tests.unit.cli.conftest import Command
from tests.unit.cli.program import CHECKOUT

START = 1302763272.4  # 2011-04-14 06:41:12 UTC, from the tutorial

ERROR = 'BroadcastEnv-send_environment: "tar", and\nmore'

RECORD = Record(
    wid="",
    user="gsimo",
    hostname="gdx-121.orsay.grid5000.fr",
    step1="SetDeploymentEnvUntrusted",
    step2="BroadcastEnvChain",
    step3="BootNewEnvClassical",
    timeout_step1=550,
    timeout_step2=600,
    timeout_step3=400,
    retry_step1=0,
    retry_step2=0,
    retry_step3=0,
    start=START,
    step1_duration=107.4,
    step2_duration=49.8,
    step3_duration=0.0,
    env="squeeze-x64-base:5",
    md5="ab" * 32,
    success=True,
    error="",
)


@pytest.fixture
async def wids(configuration: Path) -> tuple[str, str]:
    """A store with a deployment of two nodes and a reboot of one, an hour later."""
    async with Store.open(configuration / "store" / "kadeploy.sqlite") as store:
        deployment = await workflows.create(store, WorkflowKind.DEPLOY, "gsimo", {})
        reboot = await workflows.create(store, WorkflowKind.REBOOT, "alice", {})
        failed = replace(
            RECORD,
            wid=deployment.id,
            hostname="gdx-122",
            success=False,
            retry_step1=1,
            cause="broadcast",
            error=ERROR,
        )
        records = [replace(RECORD, wid=deployment.id), failed]
        records.append(replace(RECORD, wid=reboot.id, hostname="gdx-122", user="alice", start=START + 3600))
        await statistics.add_records(store, records)
        runs = [
            StepRun(f"gdx-{number}", "BroadcastEnv", "BroadcastEnvChain", 0, "send_environment", START,
                    float(number), ok=number > 1)
            for number in (1, 2, 3, 4)
        ]  # fmt: skip
        await statistics.add_steps(store, deployment.id, runs)
    return deployment.id, reboot.id


def test_the_tutorials_last_line(process: Command, wids: tuple[str, str]) -> None:
    result = process("kastat3", "-x", "2011:04:14:06:00:00", "-y", "2011:04:14:06:41:12", "-d")

    assert result.stdout.splitlines()[0] == (
        f"{wids[0]},gsimo,gdx-121.orsay.grid5000.fr,SetDeploymentEnvUntrusted,BroadcastEnvChain,"
        f"BootNewEnvClassical,550,600,400,0,0,0,1302763272,107,50,0,squeeze-x64-base:5,{'ab' * 32},true,"
    )


def test_the_tutorials_look_at_the_format(process: Command) -> None:
    lines = [line for line in process("kastat3", "--help").stdout.splitlines() if "--field" in line]

    assert any(FIELDS in line for line in lines)


def test_the_fields_of_the_help_are_those_of_the_store() -> None:
    assert tuple(FIELDS.split(",")) == statistics.FIELDS


def test_csv_can_be_read_back_whatever_is_in_it(command: Command, wids: tuple[str, str]) -> None:
    rows = list(csv.DictReader(command("kastat", "--header").stdout.splitlines(keepends=True)))

    assert [row["hostname"] for row in rows] == ["gdx-121.orsay.grid5000.fr", "gdx-122", "gdx-122"]
    assert rows[1]["error"] == ERROR
    assert [*rows[0], "cause"] == FIELDS.split(","), "Kadeploy3's columns"
    assert command("kastat", "-F", "hostname,cause").stdout.splitlines()[1] == "gdx-122,broadcast"
    assert json.loads(command("kastat", "--json").stdout)[1]["cause"] == "broadcast"


def test_what_others_wrote_gives_no_orders_to_the_terminal(
    command: Command, wids: tuple[str, str], configuration: Path
) -> None:
    async def add(record: Record) -> None:
        async with Store.open(configuration / "store" / "kadeploy.sqlite") as store:
            await statistics.add_records(store, [record])

    asyncio.run(add(replace(RECORD, wid=wids[0], hostname="gdx-123", env="\x9b2J")))

    document = command("kastat", "--json", "-m", "gdx-123").stdout
    lines = command("kastat", "-m", "gdx-123", "-F", "hostname,env").stdout

    assert json.loads(document)[0]["env"] == "\x9b2J" and printable(document) == document
    assert lines == "gdx-123,2J\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "gdx-121.orsay.grid5000.fr gdx-122 gdx-122"),
        (["-a"], "gdx-121.orsay.grid5000.fr gdx-122 gdx-122"),
        (["-x", "2011-04-14 06:41:13"], "gdx-122"),
        (["--date-max", "2011-04-14 06:41:12"], "gdx-121.orsay.grid5000.fr gdx-122"),
        (["-m", "gdx-[120-122]"], "gdx-122 gdx-122"),
        (["-o", "deploy"], "gdx-121.orsay.grid5000.fr gdx-122"),
        (["-r", "1"], "gdx-122"),
        (["-r", "1", "-s", "1"], "gdx-122"),
        (["--min-retries=1", "--retry-steps=2,3"], ""),
        (["--limit", "1"], "gdx-121.orsay.grid5000.fr"),
        (["-l", "1,1"], "gdx-122"),
        (["--sort", "hostname,start", "-l", "1"], "gdx-121.orsay.grid5000.fr"),
    ],
)
def test_what_is_wanted(command: Command, wids: tuple[str, str], arguments: list[str], expected: str) -> None:
    result = command("kastat", "-F", "hostname", *arguments)

    assert result.returncode == 0
    assert " ".join(result.stdout.splitlines()) == expected
    assert result.stderr == ("" if expected else "No information is available\n")


def test_one_workflow_and_nodes_from_standard_input(command: Command, wids: tuple[str, str]) -> None:
    nodes = "# comment\n\ngdx-122\ngdx-122 # again\n"
    result = command("kastat", "-f", "-", "-w", wids[1], "-F", "user,wid", "-F", "success", text=nodes)

    assert result.stdout == f"alice,{wids[1]},true\n"


def test_json(command: Command, wids: tuple[str, str]) -> None:
    rows = json.loads(command("kastat", "--json", "-F", "start,success,step1_duration").stdout)

    assert rows[0] == {"start": 1302763272, "success": True, "step1_duration": 107}


def test_failure_rates(command: Command, wids: tuple[str, str]) -> None:
    assert command("kastat", "-b").stdout == "gdx-121.orsay.grid5000.fr: 0.0\ngdx-122: 0.5\n"
    assert command("kastat", "-b", "0.3").stdout == "gdx-122: 0.5\n"
    assert (
        command("kastat", "-b", "--csv", "-o", "deploy").stdout
        == "gdx-121.orsay.grid5000.fr,0.0\ngdx-122,1.0\n"
    )
    assert command("kastat", "-b", "0.9").stderr == "No information is available\n"


def test_causes(command: Command, wids: tuple[str, str]) -> None:
    assert command("kastat", "--causes").stdout == (
        "Cause      Failures  Nodes\nbroadcast         1  gdx-122\n"
    )
    assert json.loads(command("kastat", "--causes", "--json").stdout) == [
        {"cause": "broadcast", "count": 1, "nodes": "gdx-122"}
    ]
    assert command("kastat", "--causes", "-o", "reboot").stderr == "No information is available\n"


def test_steps(command: Command, wids: tuple[str, str]) -> None:
    assert command("kastat", "--steps").stdout == (
        "Micro-step                           Count    Median       p95       Max  Failures\n"
        "BroadcastEnvChain-send_environment       4      2.50      4.00      4.00     25.0%\n"
    )
    [row] = json.loads(command("kastat", "--steps", "--json").stdout)
    assert (row["micro"], row["count"], row["failure_rate"]) == ("send_environment", 4, 0.25)


@pytest.fixture
async def broadcast(wids: tuple[str, str], configuration: Path) -> None:
    """What the deployment's broadcast was like for three nodes, of which one lost it."""
    good = Reception(START, "gdx-1", 0, 1, 500_000_000, 5.0, ok=True)
    moved = replace(good, node="gdx-2", lane=1, seconds=10.0, moved=1, notes=("slow",))
    lost = replace(good, node="gdx-3", bytes=7, seconds=60.0, ok=False)
    async with Store.open(configuration / "store" / "kadeploy.sqlite") as store:
        await receptions.add(store, wids[0], [good, moved, lost])


@pytest.mark.usefixtures("broadcast")
def test_broadcasts(command: Command, wids: tuple[str, str]) -> None:
    found = command("kastat", "--broadcasts").stdout.splitlines()
    titles = "Operation Start MB Seconds Median Slowest Ok Ko Moved Nodes"
    assert " ".join(found[0].split()) == titles
    assert found[1].split()[3:] == ["500", "60.0", "75.0", "50.0", "2", "1", "1", "gdx-[1-3]"]
    row = {"wid": wids[0], "start": 1302763272, "nodes": "gdx-[1-3]", "bytes": 500_000_000, "seconds": 60.0}
    figures = {"median": 75.0, "slowest": 50.0, "ok": 2, "ko": 1, "moved": 1}
    assert json.loads(command("kastat", "--broadcasts", "--json").stdout) == [row | figures]
    assert command("kastat", "--broadcasts", "--csv", "--header", "-m", "gdx-1").stdout.splitlines() == [
        ",".join(row | figures),
        f"{wids[0]},1302763272,gdx-1,500000000,5.0,100.0,100.0,1,0,0",
    ]


def test_nothing_to_tell(command: Command) -> None:
    assert command("kastat", "--json").stdout == "[]\n"
    for arguments in (["-d"], ["-b"], ["--causes"], ["--steps"], ["--broadcasts"]):
        result = command("kastat", *arguments)
        assert (result.returncode, result.stdout) == (0, "")
        assert result.stderr == "No information is available\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-x", "yesterday"], "neither yyyy:mm:dd:hh:mm:ss nor"),
        (["-x", "2011:13:41:00:00:00"], "neither"),
        (["-F", "hostname,colour"], "kastat: unknown field: colour\nhint: there are wid,"),
        (["--sort", "colour"], "unknown field: colour"),
        (["-b", "2"], "range 0<=x<=1"),
        (["-s", "1"], "--retry-steps needs --min-retries"),
        (["-s", "4", "-r", "1"], "not a list of 1, 2 and 3"),
        (["--limit", "some"], "neither N nor OFFSET,N"),
        (["--steps", "-b"], "exclude each other"),
        (["--steps", "--causes"], "exclude each other"),
        (["--steps", "--broadcasts"], "exclude each other"),
        (["--csv", "--json"], "exclude each other"),
        (["-m", "node-[1-99999999]"], "more than 20000 nodes"),
        (["--date", "x"], "--date is ambiguous: --date-max, --date-min"),
    ],
)
def test_what_cannot_be_obeyed(command: Command, arguments: list[str], message: str) -> None:
    result = command("kastat", *arguments)

    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr


def test_wrong_lines_of_a_node_file(command: Command, tmp_path: Path) -> None:
    (tmp_path / "nodes").write_text("node-1\nnode 2\n# node 3\nnode-[1-\n")

    result = command("kastat", "-f", "nodes")

    assert result.returncode == 3
    assert [line.partition(": ")[0] for line in result.stderr.splitlines()] == ["nodes:2:1", "nodes:4:1"]


def test_a_reader_that_has_seen_enough(wids: tuple[str, str], configuration: Path) -> None:
    program = Path(sys.executable).with_name("kastat")
    kastat = subprocess.Popen(
        [program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"KADEPLOY_CONFIG_DIR": str(configuration), "PYTHONPATH": str(CHECKOUT)},
    )
    assert kastat.stdout is not None
    kastat.stdout.close()

    assert kastat.stderr is not None
    assert kastat.stderr.read() == b""
    assert kastat.wait(timeout=10) == 0
    kastat.stderr.close()


def test_interrupted_while_it_waits_for_nodes(configuration: Path) -> None:
    program = Path(sys.executable).with_name("kastat")
    kastat = subprocess.Popen(
        [program, "-f", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"KADEPLOY_CONFIG_DIR": str(configuration), "PYTHONPATH": str(CHECKOUT)},
        text=True,
    )
    assert kastat.stdin is not None
    kastat.stdin.write("# the first bytes\n")
    kastat.stdin.flush()
    while struct.unpack("i", fcntl.ioctl(kastat.stdin, termios.FIONREAD, bytes(4)))[0]:
        time.sleep(0.05)  # until it has taken them, and waits for more

    kastat.send_signal(signal.SIGINT)

    output, errors = kastat.communicate(timeout=10)
    assert (output, errors.strip()) == ("", "kastat: interrupted")
    assert kastat.returncode == 130
