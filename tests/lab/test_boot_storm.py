# SPDX-License-Identifier: Apache-2.0
"""The benchmark of boot storms, with two machines and kadeploy's own server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import measured

pytestmark = pytest.mark.lab


def test_two_machines_get_all_their_boot_files(tmp_path: Path) -> None:
    """By HTTP; those that fetch by TFTP play in the tests of kadeploy-boot."""
    ours = ["--server", "kadeploy-boot", "--protocol", "http", "--machines", "2"]
    done = measured("boot_storm", tmp_path, *ours, "--kernel", "100000", "--initrd", "900000")
    [row] = done.figures["rows"]
    assert (row["case"], row["server"], row["machines"]) == ("kernel and initrd, HTTP", "kadeploy-boot", 2)
    assert row["failed"] == 0 and row["errors"] == []
    assert row["last"] > 0 and row["megabytes_per_second"] > 0 and row["descriptors"] > 0
