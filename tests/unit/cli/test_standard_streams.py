# SPDX-License-Identifier: Apache-2.0
"""Standard streams that are closed, full or read by nobody: operations end all the same, and say so."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.keys import write_key
from tests.unit.cli.conftest import CLUSTER

PROGRAMS = Path(sys.executable).parent
STATUS = "kapower --status -m node-[1-2] -o good -n bad -s ./script"

Shell = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def shell(configuration: Path, tmp_path: Path) -> Shell:
    """Shell that runs a line and prints the exit status of its first program; node-2 does not answer."""
    power = tmp_path / "power"
    power.write_text("#!/bin/sh\n[ $1 = node-1 ] || exit 3\necho on\n")
    power.chmod(0o755)
    way = f'  power_status: [{{name: soft, cmd: "{power} HOSTNAME_SHORT"}}]\n'
    (configuration / "test.conf").write_text(CLUSTER + way)
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\necho said\necho said >&2\ntouch ran\n")
    script.chmod(0o755)
    (configuration / "keys").mkdir()
    write_key(configuration / "keys" / "id_deploy")

    def run(line: str) -> subprocess.CompletedProcess[str]:
        variables = {
            "PATH": f"{PROGRAMS}:/usr/bin:/bin",
            "KADEPLOY_CONFIG_DIR": str(configuration),
            "PYTHONPATH": str(Path(__file__).parents[3]),
        }
        return subprocess.run(
            ["bash", "-c", f"{line}; echo ${{PIPESTATUS[0]}} >&9", "shell"],
            env=variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.mark.parametrize(
    ("streams", "status"),
    [
        (">&- 2>&- <&-", 1),
        ("2>&1 | head -0", 1),
        ("--json-lines | head -1", 1),
        ("2>/dev/full", 1),
        (">/dev/full", 1),
        ("--json >/dev/full", 1),
        ("--json-lines >/dev/full", 1),
        (">/dev/full 2>/dev/full", 1),
    ],
)
def test_an_operation_ends_whatever_its_streams_are(
    shell: Shell, tmp_path: Path, streams: str, status: int
) -> None:
    """The status says what became of the nodes; the user's script runs to its end."""
    done = shell(f"exec 9>status; {STATUS} {streams}")
    assert (tmp_path / "status").read_text() == f"{status}\n", done
    assert [(tmp_path / name).read_text() for name in ("good", "bad")] == ["node-1\n", "node-2\n"]
    assert (tmp_path / "ran").exists()
    assert "unexpected" not in done.stderr and "Traceback" not in done.stderr
    full = "kapower: standard output cannot be written: No space left on device\n"
    assert done.stderr.count(full) == (">/dev/full" in streams and "2>" not in streams)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("kadeploy --list 0 | head -0", 0),
        ("kadeploy --help | head -0", 0),
        ("kadeploy --list 0 >&-", 0),
        ("kadeploy --list 0 >/dev/full", 4),
        ("kadeploy --watch last >/dev/full", 4),
        ("kadeploy --watch last 2>/dev/full", 0),
        ("kadeploy --list nonsense 2>/dev/full", 2),
        ("kaenv -p nosuch 2>&1 | head -0", 3),
    ],
)
def test_looking_at_what_nobody_reads_is_no_failure(
    shell: Shell, tmp_path: Path, line: str, status: int
) -> None:
    shell("exec 9>/dev/null; kapower --status -m node-1")
    done = shell(f"exec 9>status; {line}")
    assert (tmp_path / "status").read_text() == f"{status}\n", done
    full = "output cannot be written: No space left on device\n"
    assert (done.stderr.endswith(full), "unexpected" in done.stderr) == (status == 4, False)
