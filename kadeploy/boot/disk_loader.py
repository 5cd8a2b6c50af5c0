# SPDX-License-Identifier: Apache-2.0
"""Disk loader: the EFI program that starts what is on the disk of a machine that has booted from the network.

UEFI firmware that gets a machine back from a boot program goes on with its next entry, which often is the
same card by another protocol: minutes until it comes to the disk. This program, a GRUB with a script in it,
looks for the loader itself.
"""

from __future__ import annotations

import functools
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kadeploy.errors import ServiceError

GRUB = Path("/usr/lib/grub/x86_64-efi")
POINTER = "/EFI/kadeploy/boot.cfg"  # GRUB script on the EFI system partition, which the deployment writes
REMOVABLE = "/EFI/BOOT/BOOTX64.EFI"  # loader of a disk for which firmware has no entry (UEFI 2.10, 3.5.1.1)

# chainloader opens the device in $root, whatever the path says. `source` is always true; `boot` is false
# where nothing was loaded, or where what was started came back with an error.
SCRIPT = f"""\
if search --no-floppy --set=root --file {POINTER}; then
  echo "kadeploy: starting what ($root){POINTER} names"
  source ($root){POINTER}
  if boot; then
    exit 1
  fi
fi
if search --no-floppy --set=root --file {REMOVABLE}; then
  echo "kadeploy: starting ($root){REMOVABLE}"
  chainloader {REMOVABLE}
  boot
  exit 1
fi
echo "kadeploy: no disk has a boot loader for UEFI"
exit 1
"""

_MODULES = (
    *("memdisk", "tar", "part_gpt", "part_msdos", "fat", "search", "search_fs_file"),
    *("normal", "configfile", "test", "echo", "minicmd", "chain", "boot"),
)
# What is read before `normal` runs knows no `if`.
_FIRST_LINE = "source (memdisk)/script\n"
_PROGRAM = "grub-mkimage"
_SECONDS = 60.0  # for what takes a tenth of one
_PACKAGES = "grub-common grub-efi-amd64-bin"


@functools.cache
def file_name(grub: Path = GRUB) -> str:
    """Name of the program, by a digest of all that it is made of: another GRUB makes another one.

    The same for the life of a process. Raises ServiceError where GRUB is not installed.
    """
    digest = hashlib.sha256(repr((SCRIPT, _FIRST_LINE, _MODULES)).encode())
    try:
        for path in _inputs(grub):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    except OSError as error:
        raise _not_installed(str(error.filename)) from None
    return f"local-disk-{digest.hexdigest()[:16]}.efi"


def build(grub: Path = GRUB) -> bytes:
    """Content of the program; raises ServiceError where it cannot be made."""
    with tempfile.TemporaryDirectory(prefix="kadeploy-disk-loader-") as directory:
        first_line, archive, output = (Path(directory, name) for name in ("first-line", "archive", "output"))
        first_line.write_text(_FIRST_LINE)
        archive.write_bytes(_archive())
        options = ["--format=x86_64-efi", f"--directory={grub}", "--prefix=/EFI/kadeploy"]
        files = [f"--config={first_line}", f"--memdisk={archive}", f"--output={output}"]
        _run([_find_program(), *options, *files, *_MODULES])
        return output.read_bytes()


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ServiceError(f"{_PROGRAM} did not end within {_SECONDS:.0f} s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise ServiceError(f"{_PROGRAM} exited with status {done.returncode}: {said}")


def _inputs(grub: Path) -> Iterator[Path]:
    yield Path(_find_program())
    yield from (grub / "kernel.img", grub / "moddep.lst")
    yield from sorted(grub.glob("*.mod"))


def _find_program() -> str:
    if (found := shutil.which(_PROGRAM)) is None:
        raise _not_installed(_PROGRAM)
    return found


def _not_installed(missing: str) -> ServiceError:
    return ServiceError(
        f"GRUB for UEFI is not installed: {missing} missing", hint=f"apt-get install {_PACKAGES}"
    )


def _archive() -> bytes:
    """Archive that GRUB sees as the disk `memdisk`."""
    content, buffer = SCRIPT.encode(), io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo("script")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
