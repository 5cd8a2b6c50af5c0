# SPDX-License-Identifier: Apache-2.0
"""What the kernel knows of a disk that somebody else has written: the partitions of now, or a failure."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from kadeploy.disks.partitions import host_keys_script, update_partitions, written_disk

pytestmark = [pytest.mark.fleet, pytest.mark.needs("sfdisk", "mkfs.ext4", "ssh-keygen")]

Run = subprocess.CompletedProcess[str]

BEFORE = (1, 64, 128, 500, 100)  # MiB of each partition
AFTER = (1, 300, 50)
SFDISK = ("sfdisk", "--quiet", "--no-tell-kernel", "--no-reread", "--force", "--wipe", "always")


def run(*arguments: str | Path, input: str = "") -> Run:
    return subprocess.run(arguments, input=input, capture_output=True, text=True, timeout=30)


def write_table(target: str | Path, sizes: Sequence[int], label: str = "gpt") -> None:
    lines = [f"label: {label}", *(f"size={size}MiB" for size in sizes)]
    ended = run(*SFDISK, target, input="\n".join(lines))
    assert ended.returncode == 0, ended.stderr


def known(disk: str) -> list[int]:
    """MiB of each partition that the kernel knows."""
    entries = Path("/sys/class/block", Path(disk).name).glob("*/partition")
    found = {int(entry.read_text()): int(entry.with_name("size").read_text()) for entry in entries}
    return [found[number] * 512 // 2**20 for number in sorted(found)]


@pytest.fixture
def used(disk: str) -> str:
    """A disk that somebody has used: the kernel knows its old partitions."""
    write_table(disk, BEFORE)
    subprocess.run(["partx", "--add", disk], check=True)
    return disk


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image of a whole disk, of 400 MiB."""
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.truncate(400 << 20)
    write_table(path, AFTER)
    return path


def key_of(directory: Path, name: str) -> str:
    """Make a system with a host key; returns the public one."""
    private = directory / name / "etc/ssh/ssh_host_ed25519_key"
    private.parent.mkdir(parents=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", private], check=True)
    return " ".join(private.with_suffix(".pub").read_text().split()[:2])


def put_system(target: str | Path, directory: Path, name: str, first_mib: int) -> None:
    """Write a file system of 40 MiB with a system to a place of a disk."""
    system = directory / f"{name}.ext4"
    with system.open("wb") as file:
        file.truncate(40 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", directory / name, system], check=True)
    argv = ["dd", f"if={system}", f"of={target}", "bs=1M", f"seek={first_mib}", "conv=notrunc,fsync"]
    subprocess.run(argv, check=True, capture_output=True)


def write_image(disk: str, image: Path) -> Run:
    return run(*written_disk(disk, ["dd", f"if={image}", f"of={disk}", "bs=1M", "conv=fsync"]))


def test_a_whole_disk_that_was_written_has_the_partitions_of_its_image(used: str, image: Path) -> None:
    assert known(used) == list(BEFORE)
    assert write_image(used, image).returncode == 0
    assert known(used) == list(AFTER)


def test_host_keys_are_those_of_the_image_and_of_no_system_before(
    used: str, image: Path, tmp_path: Path
) -> None:
    key_of(tmp_path, "old")
    put_system(used, tmp_path, "old", 194)  # in the fourth partition, which the image does not reach
    key = key_of(tmp_path, "new")
    put_system(image, tmp_path, "new", 302)  # in the third one
    with image.open("r+b") as file:
        file.truncate(360 << 20)
    subprocess.run(
        ["dd", f"if={image}", f"of={used}", "bs=1M", "conv=fsync"], check=True, capture_output=True
    )
    ended = subprocess.run(["sh", "-s", used, ""], input=host_keys_script(), capture_output=True, timeout=30)
    assert (ended.returncode, ended.stdout.decode().splitlines()) == (0, [key]), ended.stderr


def test_an_image_that_does_not_reach_an_old_system_in_its_partition(
    used: str, image: Path, tmp_path: Path
) -> None:
    key_of(tmp_path, "old")
    put_system(used, tmp_path, "old", 194)
    write_table(image, (1, 192, 200))
    with image.open("r+b") as file:
        file.truncate(100 << 20)
    assert write_image(used, image).returncode == 0
    ended = subprocess.run(["sh", "-s", used, ""], input=host_keys_script(), capture_output=True, timeout=30)
    assert (ended.returncode, ended.stdout) == (0, b"")


def test_a_command_that_writes_half_a_disk_fails_as_before(used: str) -> None:
    ended = run(*written_disk(used, ["sh", "-c", "echo broken >&2; exit 7"]))
    assert (ended.returncode, ended.stderr) == (7, "broken\nsh exited with status 7\n")


def last_sector(disk: str) -> bytes:
    with Path(disk).open("rb") as file:
        file.seek(-512, 2)
        return file.read()


def test_the_gpt_of_an_image_that_is_smaller_than_its_disk_is_whole(used: str, image: Path) -> None:
    ended = write_image(used, image)
    assert ended.returncode == 0
    assert last_sector(used)[:8] == b"EFI PART", "the second header"
    verified = run("sfdisk", "--verify", used)
    assert verified.returncode == 0 and "GPT" not in ended.stderr, (verified, ended)
    assert "backup" not in verified.stdout + verified.stderr
    assert known(used) == list(AFTER)


def test_a_damaged_gpt_is_left_to_who_reads_it(used: str, image: Path) -> None:
    with image.open("r+b") as file:
        file.seek(512)
        file.write(bytes(512))
    assert write_image(used, image).returncode == 0
    write_table(image, AFTER, "dos")
    assert write_image(used, image).returncode == 0
    assert (known(used), last_sector(used)[:8]) == (list(AFTER), bytes(8))


def test_a_disk_without_a_table_has_no_partitions(used: str) -> None:
    ended = run(*written_disk(used, ["mkfs.ext4", "-q", "-F", used]))
    assert (ended.returncode, known(used)) == (0, []), ended.stderr


def test_logical_partitions(used: str) -> None:
    sizes = ["10MiB", "200MiB,type=5", "5MiB", "6MiB", "20MiB", "30MiB"]
    lines = "label: dos\n" + "".join(f"size={size}\n" for size in sizes)
    script = 'printf %s "$1" | sfdisk --quiet --no-tell-kernel --wipe always "$2"'
    ended = run(*written_disk(used, ["sh", "-c", script, "sh", lines, used]))
    assert (ended.returncode, known(used)) == (0, [10, 0, 5, 6, 20, 30]), ended.stderr
    assert run(*update_partitions(used)).returncode == 0


def test_a_script_that_does_not_tell_the_kernel(used: str) -> None:
    write_table(used, AFTER, "dos")
    assert run(*update_partitions(used, [f"{used}p3"])).returncode == 0
    assert known(used) == list(AFTER)


@pytest.fixture
def mounted(used: str, tmp_path: Path) -> Iterator[Path]:
    """The fourth partition, in use."""
    subprocess.run(["mkfs.ext4", "-q", "-F", f"{used}p4"], check=True)
    mountpoint = tmp_path / "mounted"
    mountpoint.mkdir()
    subprocess.run(["mount", f"{used}p4", mountpoint], check=True)
    (mountpoint / "work").write_text("of somebody")
    yield mountpoint
    subprocess.run(["umount", "-l", mountpoint], check=False, capture_output=True)


def test_partitions_that_have_not_changed_may_be_in_use(used: str, mounted: Path) -> None:
    write_table(used, (*BEFORE[:4], 80, 30))
    assert run(*update_partitions(used)).returncode == 0
    assert known(used) == [*BEFORE[:4], 80, 30]
    assert (mounted / "work").read_text() == "of somebody"


def test_a_partition_that_is_in_use_cannot_change(used: str, mounted: Path) -> None:
    write_table(used, AFTER)
    ended = run(*update_partitions(used))
    assert ended.returncode == 1
    assert f"partition 4 of {used} cannot be forgotten: " in ended.stderr and "busy" in ended.stderr


def test_what_was_mounted_before_an_image_is_unmounted(used: str, image: Path, mounted: Path) -> None:
    assert write_image(used, image).returncode == 0
    assert not mounted.is_mount() and known(used) == list(AFTER)


def test_an_image_that_is_mounted_by_somebody_who_works_there_fails(
    used: str, image: Path, mounted: Path
) -> None:
    with (mounted / "work").open():
        ended = write_image(used, image)
    assert ended.returncode == 1
    assert f"partition 4 of {used} cannot be forgotten" in ended.stderr
