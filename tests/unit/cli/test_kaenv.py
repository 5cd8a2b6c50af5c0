# SPDX-License-Identifier: Apache-2.0
"""kaenv as users run it."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kadeploy.terminal import printable
from tests.archives import SCRIPT, write_archive, write_image
from tests.unit.cli.conftest import Command

DATA = Path(__file__).parents[2] / "data" / "environments"

DESCRIPTION = """\
name: debian12
version: 2
description: A description that is certainly longer than forty characters
os: linux
image: {file: image.tgz, kind: tar, compression: gzip}
postinstalls: [{archive: post.tgz, compression: gzip, script: run.sh a b}]
boot: {kernel: /vmlinuz, kernel_params: "console=ttyS0 é"}
filesystem: ext4
"""

HEADER = """\
Name                  Version User        Description
####                  ####### ####        ###########
"""


@pytest.fixture
def description(tmp_path: Path) -> Path:
    write_image(tmp_path / "image.tgz")
    write_archive(tmp_path / "post.tgz", {"run.sh": SCRIPT, "traitement.ash": SCRIPT})
    path = tmp_path / "debian12.yaml"
    path.write_text(DESCRIPTION)
    return path


@pytest.mark.root
def test_what_was_added_is_listed_printed_and_deleted(
    process: Command, description: Path, tmp_path: Path
) -> None:
    added = process("kaenv", "-a", description)
    assert (added.returncode, added.stdout, added.stderr) == (0, "", "")

    listed = process("kaenv3", "-l")
    assert listed.stdout == (
        HEADER + "debian12              2       root        A description that is certainly lon...\n"
    )

    printed = process("kaenv", "-p", "debian12")
    (tmp_path / "printed.yaml").write_text(printed.stdout)
    assert "user" not in yaml.safe_load(printed.stdout)
    digest = hashlib.sha256((tmp_path / "image.tgz").read_bytes()).hexdigest()
    assert yaml.safe_load(printed.stdout)["image"]["sha256"] == digest
    assert process("kaenv", "--delete", "debian12").returncode == 0
    empty = process("kaenv", "-l")
    assert (empty.returncode, empty.stdout, empty.stderr) == (0, "", "No environment has been found\n")

    assert process("kaenv", "-a", tmp_path / "printed.yaml").returncode == 0
    assert process("kaenv", "-p", "debian12").stdout == printed.stdout


@pytest.mark.root
def test_descriptions_of_others_give_no_orders_to_the_terminal(command: Command, description: Path) -> None:
    text = DESCRIPTION.replace(
        "A description that is certainly longer than forty characters", r'"\e[2J \u202Ea"'
    )
    assert command("kaenv", "-a", "-", text=text + "colour\u202e: red\n").stderr == (
        "-:9:1: 'colour' is not known and ignored (warning)\n"
    )

    listed = command("kaenv", "-l")

    assert listed.stdout == HEADER + "debian12              2       root        [2J a\n"


@pytest.mark.root
@pytest.mark.parametrize("arguments", [["-p", "debian12"], ["-p", "debian12", "--json"], ["-l", "--json"]])
def test_documents_keep_what_gives_orders_as_escapes(
    command: Command, description: Path, arguments: list[str]
) -> None:
    text = DESCRIPTION.replace(
        "A description that is certainly longer than forty characters", r'"\x9B2J \u202Ea\x7f \u2028"'
    )
    assert command("kaenv", "-a", "-", text=text).returncode == 0

    printed = command("kaenv", *arguments).stdout

    assert printable(printed) == printed
    [recorded] = [*yaml.safe_load_all(printed)] if "--json" not in arguments else json.loads(printed)
    assert recorded["description"] == "\x9b2J \u202ea\x7f \u2028"


@pytest.mark.root
def test_a_second_recording_is_refused(command: Command, description: Path) -> None:
    command("kaenv", "-a", description)

    again = command("kaenv", "-a", description)

    assert again.returncode == 3
    assert again.stderr == (
        "kaenv: environment debian12:2 of root exists already\n"
        "hint: raise its version, or delete the recorded one with kaenv -d\n"
    )


@pytest.mark.root
def test_versions(command: Command, description: Path) -> None:
    for version in (1, 2, 3):
        description.write_text(DESCRIPTION.replace("version: 2", f"version: {version}"))
        assert command("kaenv", "-a", description).returncode == 0

    def versions() -> list[int]:
        return [item["version"] for item in json.loads(command("kaenv", "-sl", "--json").stdout)]

    assert "debian12              3 " in command("kaenv", "-l").stdout
    assert versions() == [1, 2, 3]
    documents = list(yaml.safe_load_all(command("kaenv", "-s", "-p", "debian12").stdout))
    assert [document["version"] for document in documents] == [1, 2, 3]
    assert command("kaenv", "-d", "debian12", "--env-version", "2").returncode == 0
    assert versions() == [1, 3]
    assert command("kaenv", "-d", "debian12").returncode == 0
    assert versions() == [1]
    missing = command("kaenv", "-p", "debian12", "--env-version=7")
    assert missing.returncode == 3
    assert missing.stderr == "kaenv: environment debian12 has no version 7\nhint: there is 1 of root\n"


@pytest.mark.root
def test_tags(command: Command, description: Path) -> None:
    command("kaenv", "-a", description)

    assert command("kaenv", "--set-visibility-tag", "debian12", "-t", "public").returncode == 0
    assert command("kaenv", "--toggle-destructive-tag", "debian12").returncode == 0

    [recorded] = json.loads(command("kaenv", "-p", "debian12", "--json").stdout)
    assert (recorded["visibility"], recorded["destructive"], recorded["user"]) == ("public", True, "root")


def test_digests(command: Command, description: Path, tmp_path: Path) -> None:
    command("kaenv", "-a", description)
    same = command("kaenv", "--update-image-checksum", "debian12")
    assert same.returncode == 3
    assert "nothing has changed" in same.stderr

    write_archive(tmp_path / "image.tgz", {"vmlinuz": b"another"})
    digest = hashlib.sha256((tmp_path / "image.tgz").read_bytes()).hexdigest()
    assert command("kaenv", "--update-image-c", "debian12").returncode == 0
    write_archive(tmp_path / "post.tgz", {"run.sh": SCRIPT, "another": b""})
    assert command("kaenv", "--update-postinstall-checksum", "debian12").returncode == 0

    [recorded] = json.loads(command("kaenv", "-p", "debian12", "--json").stdout)
    assert recorded["image"]["sha256"] == digest


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("image.tgz", "none.tgz", "none.tgz cannot be read: No such file or directory"),
        ("compression: gzip}\npost", "compression: zstd}\npost", "declared as zstd, but is gzip"),
        ("gzip}\npost", f"gzip, sha256: {'f' * 64}}}\npost", f"the description declares {'f' * 64}"),
        ("post.tgz", "none.tgz", "none.tgz cannot be read"),
    ],
)
def test_files_that_are_not_what_is_declared(
    command: Command, description: Path, old: str, new: str, message: str
) -> None:
    assert old in DESCRIPTION
    description.write_text(DESCRIPTION.replace(old, new))

    result = command("kaenv", "-a", description)

    assert result.returncode == 3
    assert message in result.stderr
    assert command("kaenv", "-l").stdout == "", "nothing was recorded"


def test_an_archive_larger_than_allowed(command: Command, description: Path, configuration: Path) -> None:
    with (configuration / "server.conf").open("a") as file:
        file.write("environments: {max_postinstall_size: 1}\n")
    content = gzip.compress(b"", 0) + bytes(1_000_001)
    (description.parent / "post.tgz").write_bytes(content)

    result = command("kaenv", "-a", description)

    assert result.returncode == 3
    assert "larger than the 1 MB" in result.stderr


def test_all_problems_of_a_file_on_standard_error(process: Command) -> None:
    result = process("kaenv", "-a", DATA / "wrong.yaml")

    assert result.returncode == 3
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 12
    assert lines[2] == (f"{DATA}/wrong.yaml:2:10: version: 'one' is no whole number in decimal digits")


def test_warnings_do_not_prevent_recording(process: Command, description: Path) -> None:
    result = process("kaenv", "-a", "-", text=DESCRIPTION + "colour: red\n")

    assert result.returncode == 0
    assert result.stderr == "-:9:1: 'colour' is not known and ignored (warning)\n"


@pytest.mark.root
def test_an_env_file_of_old_is_recorded(command: Command, tmp_path: Path, description: Path) -> None:
    text = (DATA / "squeeze.env").read_text()
    text = text.replace("http://public.orsay.grid5000.fr/~login/squeeze-x64-base-1.1.tgz", "image.tgz")
    text = text.replace("/grid5000/postinstalls/squeeze-x64-base-1.1-post.tgz", "post.tgz")
    (tmp_path / "old.env").write_text(text)

    assert command("kaenv3", "-a", "old.env").returncode == 0

    [recorded] = json.loads(command("kaenv3", "-l", "-u", "root", "--json").stdout)
    assert (recorded["name"], recorded["version"], recorded["visibility"]) == (
        "squeeze-x64-base",
        5,
        "public",
    )


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "kaenv: nothing to do is given"),
        (["-l", "-p", "x"], 2, "kaenv: only one thing can be done at a time"),
        (["--set-visibility-tag", "x"], 2, "belong together"),
        (["-l", "-t", "public"], 2, "belong together"),
        (["--env", "x"], 2, "kaenv: --env is ambiguous: --env-user, --env-version"),
        (["--colour"], 2, "kaenv: No such option"),
        (["-p", "x", "-s", "--env-version", "1"], 2, "exclude each other"),
        (["-p", "x", "--env-version", "one"], 2, "not a valid integer"),
        (["-p", "x"], 3, "kaenv: there is no environment x\nhint: kaenv -l lists"),
        (["-d", "x"], 3, "kaenv: there is no environment x of "),
        (["-a", "none.yaml"], 3, "kaenv: none.yaml cannot be read: No such file"),
        (["-a", "http://127.0.0.1:1/x.yaml"], 4, "cannot be fetched after 4 attempts"),
    ],
)
def test_what_cannot_be_done(command: Command, arguments: list[str], status: int, message: str) -> None:
    result = command("kaenv", *arguments)

    assert (result.returncode, result.stdout) == (status, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_store_that_does_not_work(process: Command, configuration: Path) -> None:
    (configuration / "store" / "kadeploy.sqlite").write_text("no database " * 1000)

    result = process("kaenv", "-l")

    assert result.returncode == 4
    assert "file is not a database" in result.stderr


def test_the_first_command_makes_the_store(process: Command, configuration: Path) -> None:
    shutil.rmtree(configuration / "store")

    assert process("kaenv", "-l").returncode == 0
    assert (configuration / "store" / "kadeploy.sqlite").is_file()


def test_no_configuration(command: Command, configuration: Path) -> None:
    (configuration / "server.conf").unlink()

    result = command("kaenv", "-l")

    assert result.returncode == 3
    assert "has no server.conf\nhint: " in result.stderr
    result = command("kaenv", "-l", variables={"KADEPLOY_CONFIG_DIR": f"/{'x' * 300}"})
    assert result.returncode == 3
    assert result.stderr.endswith("/server.conf cannot be read: File name too long\n")


@pytest.mark.parametrize("name", ["kacast", "kaenv", "karights", "kastat"])
def test_help_tells_all(process: Command, name: str) -> None:
    result = process(name, "--help")

    assert result.returncode == 0
    for title in ("EXAMPLES:", "EXIT STATUS:", "ENVIRONMENT:", "FILES:"):
        assert f"\n{title}\n" in result.stdout


@pytest.mark.parametrize("name", ["kacast", "kadeploy", "kaenv", "kapower", "kareboot", "karights", "kastat"])
def test_help_imports_nothing_slow(name: str) -> None:
    """A limit on the time itself would fail on a busy machine; these imports are what takes it."""
    program = f"import sys, kadeploy.cli.{name} as module\nprint(*sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    ).stdout

    slow = {
        "asyncio",
        "sqlalchemy",
        "alembic",
        "pydantic",
        "yaml",
        "httpx2",
        "ClusterShell",
        "rich",
        "statistics",
        "zstandard",
    }
    assert slow & set(output.split()) == set()


def test_version(process: Command) -> None:
    assert process("kaenv", "-v").stdout.startswith("Kadeploy version: ")
