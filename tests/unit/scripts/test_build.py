# SPDX-License-Identifier: Apache-2.0
"""The builders of bin/: usage, refusals, archives with the same bytes, cache by content, set-up functions."""

import subprocess
import tarfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]
BUILDERS = ["build-deploy-env", "build-environment", "build-postinstall"]


def run_script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([CHECKOUT / "bin" / name, *arguments], capture_output=True, text=True, timeout=60)


def run_library(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    source = "set -euo pipefail; . bin/lib/messages.sh; . bin/lib/build.sh; . bin/lib/setup.sh; "
    command = ["bash", "-c", source + code, "test", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT, timeout=60)


@pytest.mark.parametrize("name", BUILDERS)
def test_help_goes_to_stdout(name: str) -> None:
    result = run_script(name, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"Usage: bin/{name} ")


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["build-deploy-env", "--fast"], "unknown argument --fast"),
        (["build-environment"], "the NAME of an environment is missing"),
        (["build-environment", "a", "b"], "more than one NAME given: a and b"),
        (["build-environment", "../x"], "there is no environment ../x"),
        (["build-environment", "deploy-env"], "there is no environment deploy-env"),
        (["build-postinstall"], "the NAME of a post-install is missing"),
        (["build-postinstall", "nothing"], "there is no post-install nothing"),
        (["build-postinstall", "--output"], "--output needs a value"),
    ],
)
def test_usage_errors(command: list[str], sentence: str) -> None:
    result = run_script(*command)
    assert result.returncode == 2
    assert result.stdout == ""
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_postinstall_archive_is_reproducible(tmp_path: Path) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    for output in (first, second):
        assert run_script("build-postinstall", "admin", "--output", str(output)).returncode == 0
        assert [path.name for path in output.iterdir()] == ["admin.tgz"]
    assert (first / "admin.tgz").read_bytes() == (second / "admin.tgz").read_bytes()
    with tarfile.open(first / "admin.tgz") as archive:
        script = archive.getmember("./postinstall")
        module = archive.getmember("./kadeploy/disks/tree/image.py")
    assert module.isfile(), "what is a link of the checkout is a file of the archive"
    assert (script.uid, script.gid, script.mode) == (0, 0, 0o755)
    again = run_script("build-postinstall", "admin", "--output", str(first))
    assert again.stderr.endswith("admin.tgz is up to date\n")


def test_recipe_hash_follows_names_modes_contents_and_options(tmp_path: Path) -> None:
    def hash_now(text: str = "options") -> str:
        result = run_library('cd "$1"; hash_recipe "$2" recipe', str(tmp_path), text)
        assert result.returncode == 0
        return result.stdout

    (tmp_path / "recipe").mkdir()
    file = tmp_path / "recipe" / "packages"
    file.write_text("tar\n")
    seen = [hash_now(), hash_now("other options")]
    file.write_text("tar zstd\n")
    seen.append(hash_now())
    file.chmod(0o755)
    seen.append(hash_now())
    file.rename(file.with_name("renamed"))
    seen.append(hash_now())
    assert len(set(seen)) == 5
    assert hash_now() == seen[-1]


def test_work_directory_goes_away_when_interrupted(tmp_path: Path) -> None:
    result = run_library('make_work_directory "$1"; touch "$work/file"; kill -INT $$; sleep 5', str(tmp_path))
    assert result.returncode == 130
    assert list(tmp_path.iterdir()) == []


def test_missing_packages_are_those_dpkg_lacks() -> None:
    result = run_library("missing_packages dpkg no-such-package-at-all bash")
    assert result.stdout == "no-such-package-at-all\n"


def test_installed_packages_cost_no_word() -> None:
    result = run_library("ensure_packages dpkg bash")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_need_that_nothing_is_known_of_is_refused() -> None:
    result = run_library("ensure zstd no-such-need")
    assert result.returncode == 1
    assert result.stderr == "test: error: bin/lib/setup.sh names no package for no-such-need\n"


def test_missing_programs_and_files_are_named_with_their_packages() -> None:
    code = "packages_for[no-such-program]=its-package; require bash /etc no-such-program /no/file README.md"
    result = run_library(f"PATH=$PATH:.; {code}")
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "test: error: no-such-program is missing; its Debian package: its-package",
        "test: error: /no/file is missing; its Debian package: unknown",
        "test: error: README.md is missing; its Debian package: unknown",
    ]


def test_output_of_a_command_that_succeeds_is_not_shown() -> None:
    result = run_library(
        "run_quietly sh -c 'echo noise; echo more >&2'; run_quietly sh -c 'echo why >&2; exit 7'"
    )
    assert (result.returncode, result.stdout, result.stderr) == (7, "", "why\n")
