# SPDX-License-Identifier: Apache-2.0
"""Commands that ask a server: they print, return and import what is to be expected."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kadeploy.config import site as configured
from tests.archives import SCRIPT, write_archive, write_image
from tests.keys import write_key
from tests.unit.cli.conftest import CLUSTER, Command, command, configuration, empty_store, process  # noqa: F401
from tests.unit.cli.test_kaenv import DESCRIPTION
from tests.unit.server.serving import OpenServices, serving


@pytest.fixture
def served(configuration: Path, address: Path) -> Iterator[OpenServices]:  # noqa: F811
    """The site of the configuration, whose nodes are on."""
    (configuration / "test.conf").write_text(f'{CLUSTER}  power_status: [{{name: soft, cmd: "echo on"}}]\n')
    (configuration / "keys").mkdir()
    write_key(configuration / "keys" / "id_deploy")
    with serving(configured.load(configuration), address) as services:
        yield services


@pytest.fixture
def elsewhere(address: Path, tmp_path: Path) -> dict[str, str]:
    """Variables of a user who knows the server, and no configuration."""
    return {"KADEPLOY_SERVER": str(address), "KADEPLOY_CONFIG_DIR": str(tmp_path / "none")}


LINES = (
    "kaenv -l",
    "kaenv -l --json",
    "kaenv -p debian12 -s",
    "kaenv -p nothing",
    "kaenv --update-image-checksum debian12",
    "kaenv --set-visibility-tag debian12 -t shared",
    "kaenv --toggle-destructive-tag debian12",
    "kaenv -p debian12 --json",
    "kaenv -d debian12",
    "kaenv -d debian12",
    "kastat",
    "kastat --json -F wid,error -x 2026:01:01:00:00:00",
    "kastat -F nothing",
    "kastat -b 0.5",
    "kastat --causes -m node-[1-3]",
    "kastat --steps --broadcasts",
    "kastat --broadcasts -l 2,3",
    "kadeploy --list",
    "kadeploy --list 0 --json",
    "kadeploy --watch last",
    "kadeploy --log D-1",
    "kadeploy --cancel last",
    "kadeploy --abandon D-1",
    "kapower --status -m node-9",
    "kapower --status -m node-1 --dry-run",
    "kareboot -m node-1 --dry-run --json",
)


@pytest.mark.root
def test_they_print_what_they_print_without_a_server(
    served: OpenServices,
    command: Command,  # noqa: F811
    elsewhere: dict[str, str],
    tmp_path: Path,
) -> None:
    write_image(tmp_path / "image.tgz")
    write_archive(tmp_path / "post.tgz", {"run.sh": SCRIPT})
    (tmp_path / "debian12.yaml").write_text(DESCRIPTION)
    for variables in ({}, elsewhere):
        assert command("kaenv", "-a", "debian12.yaml").returncode == 0
        done = [command(*line.split(), variables=variables) for line in LINES]
        found = [
            (line, one.returncode, one.stdout, one.stderr) for line, one in zip(LINES, done, strict=True)
        ]
        if not variables:
            expected = found
    assert found == expected
    assert {status for _, status, _, _ in found} == {0, 2, 3}
    assert served.callers


def test_an_operation_is_begun_followed_and_told_of(
    served: OpenServices,
    process: Command,  # noqa: F811
    elsewhere: dict[str, str],
    tmp_path: Path,
) -> None:
    arguments = ("--status", "-m", "node-[1-2]", "-o", "ok", "-n", "ko", "--write-workflow-id", "wid")
    own = process("kapower", *arguments)
    done = process("kapower", *arguments, variables=elsewhere)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.sub(r"[PD]-[0-9a-f-]{36}|\d+\.\d+", "…", done.stdout) == re.sub(
        r"[PD]-[0-9a-f-]{36}|\d+\.\d+", "…", own.stdout
    )
    assert (tmp_path / "ok").read_text() == "node-1\nnode-2\n"
    wid = (tmp_path / "wid").read_text()
    told = process("kadeploy", "--log", wid, variables=elsewhere)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout and told.stdout == process("kadeploy", "--log", wid).stdout
    document = json.loads(
        process("kapower", "--status", "-m", "node-3", "--json", variables=elsewhere).stdout
    )
    assert [(node["node"], node["power"]) for node in document["nodes"]] == [("node-3", "on")]


def test_no_wait_prints_the_identifier_at_once(
    served: OpenServices,
    process: Command,  # noqa: F811
    elsewhere: dict[str, str],
) -> None:
    done = process("kapower", "--status", "-m", "node-1", "--detach", variables=elsewhere)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"P-[0-9a-f-]{36}\n", done.stdout)
    lines = process("kadeploy", "--watch", done.stdout.strip(), "--json-lines", variables=elsewhere)
    kinds = [json.loads(line)["kind"] for line in lines.stdout.splitlines()]
    assert (kinds[0], kinds[-1]) == ("planning", "ended")

    alone = process("kapower", "--status", "-m", "node-1", "--no-wait")
    assert (alone.returncode, alone.stderr.splitlines()[0]) == (
        2,
        "kapower: --no-wait needs a server, and none was found",
    )
    both = process("kapower", "--status", "-m", "node-1", "--no-wait", "-o", "x", variables=elsewhere)
    assert (both.returncode, both.stderr.splitlines()[0]) == (
        2,
        "kapower: --no-wait cannot be had with --output-ok-nodes",
    )


def test_files_of_the_user_are_not_read_by_the_server(
    served: OpenServices,
    process: Command,  # noqa: F811
    elsewhere: dict[str, str],
    tmp_path: Path,
) -> None:
    write_image(tmp_path / "image.tgz")
    (tmp_path / "debian12.yaml").write_text(DESCRIPTION)
    done = process("kadeploy", "-a", "debian12.yaml", "-m", "node-1", variables=elsewhere)
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        3,
        f"kadeploy: {tmp_path}/image.tgz is a file of yours, which kadeployd does not read",
    )
    steps = (
        "SetDeploymentEnv: {create_partition_table: {pre-ops: [{name: a, action: run, file: /etc/shadow}]}}"
    )
    recorded = process("kaenv", "-a", "debian12.yaml", variables=elsewhere)
    assert (recorded.returncode, recorded.stderr.splitlines()[0]) == (
        3,
        f"kaenv: {tmp_path}/image.tgz is a file of yours, which kadeployd does not read",
    )
    (tmp_path / "steps").write_text(steps)
    done = process("kadeploy", "-e", "x", "-m", "node-1", "--custom-steps", "steps", variables=elsewhere)
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        3,
        "kadeploy: /etc/shadow is a file of yours, which kadeployd does not read",
    )


@pytest.mark.root
def test_a_description_is_recorded(
    served: OpenServices,
    process: Command,  # noqa: F811
    elsewhere: dict[str, str],
    tmp_path: Path,
) -> None:
    environments = served.site.server.environments.model_copy(update={"directories": (tmp_path,)})
    server = served.site.server.model_copy(update={"environments": environments})
    served.site = replace(served.site, server=server)
    write_image(tmp_path / "image.tgz")
    write_archive(tmp_path / "post.tgz", {"run.sh": SCRIPT})
    text = DESCRIPTION.replace("image.tgz", f"server://{tmp_path}/image.tgz")
    text = text.replace("post.tgz", f"server://{tmp_path}/post.tgz") + "colour: red\n"
    (tmp_path / "debian12.yaml").write_text(text)
    added = process("kaenv", "-a", "debian12.yaml", variables=elsewhere)
    assert (added.returncode, added.stderr) == (
        0,
        "debian12.yaml:9:1: 'colour' is not known and ignored (warning)\n",
    )
    printed = process("kaenv", "-p", "debian12", variables=elsewhere)
    assert printed.stdout == process("kaenv", "-p", "debian12").stdout
    assert "sha256: " in printed.stdout
    assert process("kaenv", "-a", "-", text=text, variables=elsewhere).returncode == 3  # it is there already


PROGRAM = """\
import sys
from kadeploy.cli import {name} as module
sys.argv = [{name!r}, *{arguments!r}]
try:
    module.main()
finally:
    print(*sys.modules)
"""
HEAVY = {"sqlalchemy", "asyncssh", "httpx2", "fastapi", "starlette", "uvicorn", "yaml", "kadeploy.server"}


@pytest.mark.parametrize(
    "line", ["kaenv -l", "kastat", "kadeploy --list", "kadeploy --list --json", "kadeploy --log last"]
)
def test_they_import_nothing_of_a_server(served: OpenServices, elsewhere: dict[str, str], line: str) -> None:
    name, *arguments = line.split()
    program = PROGRAM.format(name=name, arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=elsewhere,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode in (0, 3), done.stderr
    imported = set(done.stdout.splitlines()[-1].split())
    assert "kadeploy.client.server" in imported
    assert HEAVY & imported == set()
