# SPDX-License-Identifier: Apache-2.0
"""kadeploy as a user calls it, as far as no node is needed: refusals, dry run, help."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml

from kadeploy.caller import Caller
from kadeploy.terminal import printable
from tests.archives import write_image
from tests.keys import write_key
from tests.unit.cli.boot_server import boot_server
from tests.unit.cli.conftest import Command
from tests.unit.cli.program import Completed

CASES = yaml.safe_load((Path(__file__).parents[2] / "data" / "refusals" / "cases.yaml").read_text())

DESCRIPTION = """\
name: known
os: linux
image: {file: image.tar.gz, kind: tar, compression: gzip}
filesystem: ext4
boot: {kernel: /vmlinuz}
"""
CUSTOM = """\
BroadcastEnv:
  sync:
    pre-ops:
      - {name: motd, action: exec, command: "echo hello"}
      - {name: tune, action: run, file: tune.sh, params: "--fast", timeout: 30}
"""
BROKEN = """\
name: ""
os: linux
image: {file: x, kind: zip, compression: gzip}
"""


@pytest.fixture
def ready(command: Command, configuration: Path, tmp_path: Path) -> Command:
    """kadeploy in a site with a recorded environment and everything a plan needs."""
    for name in ("vmlinuz", "initrd"):
        (configuration / name).write_bytes(name.encode())
    (configuration / "keys").mkdir()
    write_key(configuration / "keys" / "id_deploy")
    (configuration / "host_key.pub").write_bytes((configuration / "keys" / "id_deploy.pub").read_bytes())
    (tmp_path / "private").write_bytes((configuration / "keys" / "id_deploy").read_bytes())
    write_image(tmp_path / "image.tar.gz")
    (tmp_path / "known.yaml").write_text(DESCRIPTION)
    (tmp_path / "elsewhere.yaml").write_text(DESCRIPTION.replace("known", "elsewhere") + "arch: riscv64\n")
    (tmp_path / "broken.yaml").write_text(BROKEN)
    (tmp_path / "whatif.yaml").write_text("steps: {sync: {hangs: 0.1},\n         boot: {hangs: 0.1}}\n")
    (tmp_path / "noimage.yaml").write_text(DESCRIPTION.replace("image.tar.gz", "missing.tar.gz"))
    (tmp_path / "custom.yaml").write_text(CUSTOM)
    (tmp_path / "custom-wrong.yaml").write_text(CUSTOM.replace("sync", "snyc"))
    (tmp_path / "tune.sh").write_text("#!/bin/sh\n")
    for name in ("known.yaml", "elsewhere.yaml"):
        assert command("kaenv", "-a", name).returncode == 0
    return command


def _workflows(configuration: Path) -> int:
    with sqlite3.connect(configuration / "store" / "kadeploy.sqlite") as store:
        return int(store.execute("select count(*) from workflows").fetchone()[0])


@pytest.mark.parametrize("name", ["kadeploy", "kareboot", "kapower"])
def test_refusals_touch_nothing(ready: Command, configuration: Path, name: str) -> None:
    for case in (case for case in CASES if case.get("command", "kadeploy") == name):
        _assert_refused(ready, name, case, configuration)
    assert _workflows(configuration) == 0


@pytest.mark.parametrize("name", ["kadeploy", "kareboot", "kapower"])
@pytest.mark.parametrize("status", [2, 3])
def test_a_refusal_of_a_process(
    ready: Command, process: Command, configuration: Path, name: str, status: int
) -> None:
    """What a process of the first case of each command and status gives is what the call of it gives."""
    case = next(case for case in CASES if (case.get("command", "kadeploy"), case["status"]) == (name, status))
    alone, called = (_assert_refused(way, name, case, configuration) for way in (process, ready))
    assert (alone.returncode, alone.stdout, alone.stderr) == (called.returncode, called.stdout, called.stderr)
    assert _workflows(configuration) == 0


def _assert_refused(command: Command, name: str, case: dict[str, Any], configuration: Path) -> Completed:
    result = command(name, *case["arguments"])
    assert (result.returncode, case["says"] in result.stderr) == (case["status"], True), (case, result)
    assert "Traceback" not in result.stderr and " started" not in result.stdout
    assert not list((configuration / "pxe").glob("profiles/*"))
    return result


def test_a_dry_run_shows_the_plan(ready: Command, process: Command, configuration: Path) -> None:
    result = process("kadeploy", "-e", "known", "-m", "node-[1-3]", "--dry-run")
    assert result.returncode == 0
    assert "Cluster test: node-[1-3] (3 nodes)" in result.stdout
    assert "ERASED: all of /dev/vda" in result.stdout and "/dev/vda3 deploy" in result.stdout
    for step in ("create_partition_table (120 s)", "send_environment (3600 s)", "install_bootloader"):
        assert step in result.stdout
    assert "50 reboots at once; 300 looks at once" in result.stdout
    assert "send_key" not in result.stdout, "without -k there is no key to send"
    assert _workflows(configuration) == 0


def test_the_plan_of_anothers_environment_gives_no_orders_to_the_terminal(
    ready: Command, tmp_path: Path
) -> None:
    (tmp_path / "\x9b2J.tar.gz").write_bytes((tmp_path / "image.tar.gz").read_bytes())
    (tmp_path / "loud.yaml").write_text(DESCRIPTION.replace("image.tar.gz", '"\\x9b2J.tar.gz"'))

    shown = ready("kadeploy", "-a", "loud.yaml", "-m", "node-1", "--dry-run")

    assert shown.returncode == 0, shown.stderr
    assert "/2J.tar.gz\n" in shown.stdout and printable(shown.stdout) == shown.stdout


def test_the_plan_as_json(ready: Command) -> None:
    plan = _plan(ready, "--breakpoint", "BroadcastEnv:sync")
    [cluster] = plan["clusters"]
    assert plan["windows"] == {"reboot": {"size": 50, "pause": 0.0}, "probe": {"size": 300}}
    assert plan["schema"] == 2
    assert cluster["nodes"] == ["node-2"] and cluster["erased"] == ["/dev/vda"]
    [broadcast] = cluster["macrosteps"]["BroadcastEnv"]
    assert [step["name"] for step in broadcast["microsteps"] if step["hold"]] == ["sync"]


def _plan(ready: Command, *arguments: str) -> Any:
    result = ready("kadeploy", "-e", "known", "-m", "node-2", "--dry-run", "--json", *arguments)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_a_simulation_foretells_and_touches_nothing(
    ready: Command, process: Command, configuration: Path
) -> None:
    arguments = ("-e", "known", "-m", "node-[1-2]", "--simulate")
    result = process("kadeploy", *arguments)
    assert result.returncode == 0, result.stderr
    assert "Simulation of 2 nodes, seed 0: 2 ok" in result.stdout
    assert "default: of these nothing is known" in result.stdout
    first, again, other = (
        ready("kadeploy", *arguments, "--simulate-nodes", "60", "--seed", seed, "--json") for seed in "112"
    )
    assert first.stdout == again.stdout != other.stdout
    forecast = json.loads(first.stdout)
    assert forecast["nodes"] == sum(forecast["phases"].values()) == 60
    assert forecast["good_after"]["50%"] <= forecast["good_after"]["90%"] <= forecast["seconds"]
    assert sum(item["seconds"] for item in forecast["last_good_node"]) == pytest.approx(
        forecast["curve"][-1]["seconds"], abs=0.05
    )
    assert _workflows(configuration) == 0 and not list((configuration / "pxe").rglob("profiles/*"))


def test_a_simulation_knows_what_happened(ready: Command, configuration: Path, tmp_path: Path) -> None:
    _record_boots(configuration)
    forecast = json.loads(ready("kadeploy", "-e", "known", "-m", "node-1", "--simulate", "--json").stdout)
    known = {(step["instance"], step["micro"]): step for step in forecast["steps"]}
    boot = known["SetDeploymentEnvUntrusted", "wait_reboot"]
    assert boot["known_from"] == "5 runs" and 30 <= boot["median"] <= 40
    assert known["BroadcastEnvChain", "sync"]["known_from"] == "default"
    (tmp_path / "alone.yaml").write_text("records: false\nsteps: {sync: {failures: 1}}\n")
    result = ready("kadeploy", "-e", "known", "-m", "node-1", "--simulate", "alone.yaml", "--min-ok", "1")
    assert result.returncode == 1 and "1 ko" in result.stdout
    assert "runs" not in result.stdout.partition("Known from")[2]


def _record_boots(configuration: Path) -> None:
    """Five boots of node-1 and node-2 on another day, and one of a cluster that is no more."""
    boot = "'SetDeploymentEnv', 'SetDeploymentEnvUntrusted', 0, 'wait_reboot'"
    with sqlite3.connect(configuration / "store" / "kadeploy.sqlite") as store:
        for day, (node, seconds) in enumerate(
            [("node-1", 30), ("node-1", 34), ("node-2", 36), ("node-2", 38), ("node-1", 40), ("old-1", 999)]
        ):
            store.execute(f"insert into steps values ('D-1', '{node}', {boot}, {day}, {seconds}, 1, '', '')")


def test_custom_steps_are_in_the_plan(ready: Command) -> None:
    arguments = ("-e", "known", "-m", "node-1", "--custom-steps", "custom.yaml", "--dry-run")
    result = ready("kadeploy", *arguments, "--breakpoint", "BroadcastEnv:sync-tune")
    assert result.returncode == 0, result.stderr
    assert "      sync-motd (600 s): echo hello\n" in result.stdout
    assert "      sync-tune (30 s): tune.sh --fast  <- held here\n      sync (600 s)\n" in result.stdout
    [broadcast] = _plan(ready, "--custom-steps", "custom.yaml")["clusters"][0]["macrosteps"]["BroadcastEnv"]
    shown = {step["name"]: step["custom"] for step in broadcast["microsteps"] if step["custom"]}
    assert shown == {"sync-motd": "echo hello", "sync-tune": "tune.sh --fast"}
    simulated = ready("kadeploy", *arguments[:-1], "--simulate", "--json")
    assert "sync-tune" in [step["micro"] for step in json.loads(simulated.stdout)["steps"]]


def test_kexec_and_no_kexec(ready: Command) -> None:
    steps = (
        "SetDeploymentEnv|SetDeploymentEnvUntrusted:1:450&BroadcastEnv|BroadcastEnvKastafior:1:900"
        "&BootNewEnv|BootNewEnvKexec:1:250"
    )
    for arguments, instance in (((), "BootNewEnvKexec"), (("--no-kexec",), "BootNewEnvClassical")):
        plan = _plan(ready, "--force-steps", steps, *arguments)
        [boot] = plan["clusters"][0]["macrosteps"]["BootNewEnv"]
        assert boot["instance"] == instance


def test_nodes_of_the_batch_scheduler(ready: Command, tmp_path: Path) -> None:
    (tmp_path / "oar").write_text("node-2\nnode-2\nnode-1\n")
    plan = _with_variable(ready, "OAR_NODE_FILE", str(tmp_path / "oar"))
    assert plan["clusters"][0]["nodes"] == ["node-2", "node-1"]
    plan = _with_variable(ready, "SLURM_JOB_NODELIST", "node-[3-4]")
    assert plan["clusters"][0]["nodes"] == ["node-3", "node-4"]


def _with_variable(ready: Command, name: str, value: str) -> Any:
    result = ready("kadeploy", "-e", "known", "--dry-run", "--json", variables={name: value})
    assert result.returncode == 0 and f"nodes of {name}" in result.stderr, result.stderr
    return json.loads(result.stdout)


def test_unambiguous_beginnings_of_options(ready: Command, process: Command) -> None:
    assert process("kadeploy3", "-e", "known", "-m", "node-1", "--dry", "--verb", "1").returncode == 0
    assert "ambiguous" in ready("kadeploy3", "-e", "known", "-m", "node-1", "--output").stderr


def test_help_is_complete_and_quick(process: Command) -> None:
    started = time.perf_counter()
    result = process("kadeploy", "--help")
    assert result.returncode == 0 and time.perf_counter() - started < 10
    for section in ("EXAMPLES", "EXIT STATUS", "ENVIRONMENT", "STEPS", "OUTPUT"):
        assert f"{section}:" in result.stdout


# Reboots and power ---------------------------------------------------------------------------------


def test_a_dry_run_needs_no_ssh_key(ready: Command, configuration: Path) -> None:
    (configuration / "keys" / "id_deploy").unlink()
    arguments = ("-e", "known", "-m", "node-1")
    assert ready("kadeploy", *arguments, "--dry-run").returncode == 0
    refused = ready("kadeploy", *arguments)
    assert refused.returncode == 3
    assert refused.stderr.splitlines()[-2:] == [
        f"kadeploy: the engine's ssh key {configuration}/keys/id_deploy is missing",
        "hint: bin/build-deploy-env makes one",
    ]


def test_a_dry_run_of_a_reboot(ready: Command, process: Command, configuration: Path) -> None:
    result = process("kareboot3", "-m", "node-[1-3]", "-r", "deploy_env", "--dry-run")
    assert result.returncode == 0, result.stderr
    assert "Cluster test: node-[1-3] (3 nodes)\n  Reboot\n    RebootDeployEnv: 1 attempts" in result.stdout
    assert "wait_reboot (300 s)" in result.stdout and "send_key" not in result.stdout
    result = ready("kareboot", "-m", "node-2", "--reboot-classical-timeout", "100+n", "--dry-run", "--json")
    [cluster] = json.loads(result.stdout)["clusters"]
    [instance] = cluster["macrosteps"]["Reboot"]
    assert [(step["name"], step["timeout"]) for step in instance["microsteps"]] == [
        ("reboot", 120),
        ("wait_reboot", 101),
    ]
    assert _workflows(configuration) == 0


def test_the_power_of_nodes(ready: Command, process: Command, configuration: Path, tmp_path: Path) -> None:
    operations = yaml.safe_load((configuration / "test.conf").read_text())
    script = tmp_path / "power"
    script.write_text("#!/bin/sh\n[ $1 != node-2 ] || { echo no such board >&2; exit 3; }\necho it is on\n")
    script.chmod(0o755)
    operations["remoteops"]["power_status"] = [{"cmd": f"{script} HOSTNAME_SHORT"}]
    (configuration / "test.conf").write_text(yaml.safe_dump(operations))
    result = process("kapower3", "--status", "-m", "node-[1-3]", "-o", "good", "-n", "bad", "-V", "2")
    assert result.returncode == 1
    assert "---\nnode-1: on\nnode-3: on\n---\n\nThe power operation is successful on nodes\n" in result.stdout
    assert "The power operation failed on nodes\nnode-2 (PowerStatus-power_status: " in result.stdout
    assert "no such board" in result.stderr
    files = [(tmp_path / name).read_text() for name in ("good", "bad")]
    assert files == ["node-1\nnode-3\n", "node-2\n"]
    result = ready("kapower", "--status", "-m", "node-1", "--json")
    assert json.loads(result.stdout)["nodes"][0]["power"] == "on"


def test_a_killed_reboot_is_resumed(ready: Command, configuration: Path) -> None:
    """Its command was killed before anything of it was in the journal."""
    wid = f"R-{uuid.uuid4()}"
    request = {
        "nodes": ["node-1"],
        "hold_seconds": 60.0,
        "kind": "set_pxe",
        "profile": "#!ipxe\nexit\n",
        "timeout": "0.5",
    }
    steps = [["RebootSetPXE", "switch_pxe", "reboot", "wait_reboot"]]
    fingerprint = {"nodes": {"test": ["node-1"]}, "steps": {"test": steps}}
    with sqlite3.connect(configuration / "store" / "kadeploy.sqlite") as store:
        content = json.dumps({"request": request, "fingerprint": fingerprint})
        row = (wid, "reboot", Caller.of_process().name, content)
        columns = "id, kind, user, request, state, started"
        store.execute(f"insert into workflows ({columns}) values (?, ?, ?, ?, 'running', 0)", row)
    shown = ready("kadeploy", "--resume", wid, "--dry-run")
    assert (shown.returncode, "wait_reboot (0.5 s)" in shown.stdout) == (0, True), shown.stderr
    refused = ready("kadeploy", "--resume", wid, "--min-ok", "1")
    assert refused.stderr == "kadeploy: --min-ok: only deployments have it\n"
    with boot_server(configuration):
        resumed = ready("kadeploy", "--resume", wid)
    assert resumed.returncode == 1
    assert "The reboot operation failed on nodes\nnode-1 (RebootSetPXE-wait_reboot: " in resumed.stdout
