# SPDX-License-Identifier: Apache-2.0
"""System of a container node: a first process in namespaces of its own.

The node shares the kernel with the host, so it is restricted: it has its own disk in /dev and no other, /sys
is read-only and shows that disk under the node's name, settings of the kernel in /proc/sys are read-only, and
capabilities that reach the host are dropped. A malicious system can escape: use nodes for trusted systems
only.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import stat
import subprocess
import sys
import termios
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kadeploy.lab.container import cgroup, syscalls
from kadeploy.lab.container.disk import DISK_NAME, Disk
from kadeploy.lab.container.syscalls import MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY

SHARED = "dev/kalab"  # directory in the node for the file by which its kexec asks for the next system
PROGRAMS = ("/sbin/init", "/etc/init", "/bin/init", "/bin/sh")  # what a kernel tries (init/main.c)
MAX_PARTITIONS = 16  # that have names in /sys
_NAMESPACES = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC
_STRICT = MS_NOSUID | MS_NODEV | MS_NOEXEC
_MEMORY_DEVICES = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}  # minors of major 1
# capability.h: SYS_MODULE, SYS_RAWIO, SYS_PACCT, SYS_TIME, AUDIT_CONTROL, MAC_OVERRIDE, MAC_ADMIN, SYSLOG,
# WAKE_ALARM, BLOCK_SUSPEND.
_HOST_CAPABILITIES = (16, 17, 20, 25, 30, 32, 33, 34, 35, 36)


@dataclass(frozen=True, slots=True)
class Start:
    """System to start: one unpacked in ``tree``, in memory, or one of a partition of the disk.

    ``layers`` are directories whose files stand in the places of those of the tree.
    """

    command_line: str
    tree: str = ""
    partition: int = 0
    layers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SystemPaths:
    """Paths of a node's system on the host; all are in the node's directory but ``shims``."""

    directory: Path
    shims: Path
    state: str
    cgroup: str  # '' where the host has no cgroup2
    console: int  # the node's end of its console

    @property
    def devices(self) -> Path:
        """Path of the node's /dev."""
        return self.directory / "dev"

    @property
    def root(self) -> Path:
        """Mount point of the node's root."""
        return self.directory / "root"


def make_devices(paths: SystemPaths, disk: Disk) -> None:
    """Make the node's /dev, anew for each system; this process has it mounted too, and updates it."""
    with contextlib.suppress(OSError):
        syscalls.unmount(paths.devices, syscalls.MNT_DETACH)
    syscalls.mount("dev", paths.devices, "tmpfs", MS_NOSUID, "mode=755,size=1m")
    numbers = {"tty": (5, 0), **{name: (1, minor) for name, minor in _MEMORY_DEVICES.items()}}
    for name, (major, minor) in numbers.items():
        os.mknod(paths.devices / name, stat.S_IFCHR | 0o666, os.makedev(major, minor))
        (paths.devices / name).chmod(0o666)
    for name, target in {"fd": "/proc/self/fd", "ptmx": "pts/ptmx", "ttyS0": "console"}.items():
        (paths.devices / name).symlink_to(target)
    for name in ("pts", "shm", "kalab"):
        (paths.devices / name).mkdir()
    (paths.devices / "console").touch()
    disk.make_nodes(paths.devices)


def start(paths: SystemPaths, disk: Disk, system: Start, record: Callable[[int], None]) -> int:
    """Start a system; returns the pid of its first process, a child of this one, after calling ``record``."""
    gate, key = os.pipe()
    pid = syscalls.fork_into(_NAMESPACES)
    if pid == 0:
        os.close(key)
        _execute_child(paths, disk, system, gate)
    os.close(gate)
    record(pid)
    os.write(key, b"go")
    os.close(key)
    return pid


def _execute_child(paths: SystemPaths, disk: Disk, system: Start, gate: int) -> None:
    try:
        syscalls.die_with_parent()
        if not os.read(gate, 2):
            return  # the parent died before the line above
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # which Python ignores, and programs inherit
        _take_console(paths)
        if paths.cgroup:
            cgroup.enter(Path(paths.cgroup))
            syscalls.unshare(syscalls.CLONE_NEWCGROUP)
        syscalls.mount("", Path("/"), flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
        _mount_root(paths, system)
        _mount_kernel_files(paths, disk, system)
        syscalls.become_root(paths.root)
        syscalls.set_host_name("(none)")
        for number in _HOST_CAPABILITIES:
            syscalls.give_up_capability(number)
        _execute(paths, system)
    except (OSError, subprocess.CalledProcessError) as error:
        said = error.stderr.decode(errors="replace").strip() if hasattr(error, "stderr") else ""
        os.write(2, f"Kernel panic - not syncing: {error} {said}\r\n".encode())
    finally:
        os._exit(1)


def _take_console(paths: SystemPaths) -> None:
    os.setsid()
    for descriptor in (0, 1, 2):
        os.dup2(paths.console, descriptor)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _mount_root(paths: SystemPaths, system: Start) -> None:
    if system.partition:
        mode = "ro" if "ro" in system.command_line.split() else "rw"
        # By the name that the device has in the node, so that the node's /proc/mounts has that name.
        syscalls.bind(paths.devices, Path("/dev"))
        argv = ["mount", "-o", mode, f"/dev/{DISK_NAME}{system.partition}", str(paths.root)]
        subprocess.run(argv, check=True, capture_output=True)
        syscalls.unmount(Path("/dev"))
        return
    memory = paths.directory / "memory"
    syscalls.mount("memory", memory, "tmpfs", 0, "mode=755")
    for name in ("upper", "work"):
        (memory / name).mkdir()
    lower = ":".join([*system.layers, str(paths.shims), system.tree])
    layers = f"lowerdir={lower},upperdir={memory}/upper,workdir={memory}/work"
    syscalls.mount("overlay", paths.root, "overlay", 0, layers)


def _mount_kernel_files(paths: SystemPaths, disk: Disk, system: Start) -> None:
    root = paths.root
    for name in ("proc", "sys", "dev"):
        if (root / name).is_symlink():  # from here it leads to a directory of the host
            raise OSError(f"/{name} is a link, which a container node cannot follow")
        (root / name).mkdir(exist_ok=True)
    syscalls.mount("proc", root / "proc", "proc", _STRICT)
    syscalls.mount("sysfs", root / "sys", "sysfs", _STRICT)
    if paths.cgroup:
        syscalls.mount("cgroup2", root / "sys/fs/cgroup", "cgroup2", _STRICT)
    _mount_devices(paths)
    _show_disk(root, disk)
    syscalls.mount("", root / "sys", flags=syscalls.MS_REMOUNT | syscalls.MS_BIND | MS_RDONLY | _STRICT)
    _cover(paths, "proc/cmdline", f"{system.command_line}\n")
    _cover(paths, "proc/sys/kernel/random/boot_id", f"{uuid.uuid4()}\n")
    _cover(paths, "proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")
    _protect_settings(root / "proc")


def _mount_devices(paths: SystemPaths) -> None:
    directory = paths.root / "dev"
    syscalls.bind(paths.devices, directory)
    options = "newinstance,ptmxmode=666,mode=620"
    syscalls.mount("devpts", directory / "pts", "devpts", MS_NOSUID | MS_NOEXEC, options)
    syscalls.mount("shm", directory / "shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    syscalls.bind(Path(os.ttyname(0)), directory / "console")
    syscalls.bind(paths.directory / "shared", paths.root / SHARED)


def _show_disk(root: Path, disk: Disk) -> None:
    """Show the node's disk in /sys, as vda and by the kernel's name, and no other disk.

    Links to partitions dangle until these exist.
    """
    disks = {DISK_NAME: disk.name, disk.name: disk.name}
    partitions = {
        name: f"{disk.name}/{disk.name}p{number}"
        for number in range(1, MAX_PARTITIONS + 1)
        for name in (f"{DISK_NAME}{number}", f"{disk.name}p{number}")
    }
    _link(root / "sys/block", "../devices/virtual/block", disks)
    _link(root / "sys/class/block", "../../devices/virtual/block", disks | partitions)
    firmware = root / "sys/firmware"
    if firmware.is_dir():  # the host may have UEFI: its nodes have a BIOS
        syscalls.mount("firmware", firmware, "tmpfs", _STRICT | MS_RDONLY, "mode=755,size=4k")


def _link(directory: Path, base: str, targets: dict[str, str]) -> None:
    syscalls.mount("block", directory, "tmpfs", _STRICT, "mode=755,size=64k")
    for name, target in targets.items():
        (directory / name).symlink_to(f"{base}/{target}")


def _cover(paths: SystemPaths, path: str, text: str) -> None:
    """Mount a file with this text over a file of the kernel."""
    file = paths.directory / "shown" / Path(path).name
    file.write_text(text)
    syscalls.bind(file, paths.root / path, read_only=True)


def _protect_settings(proc: Path) -> None:
    syscalls.bind(proc / "sys", proc / "sys", read_only=True)
    for name in ("hostname", "domainname"):  # these belong to the node
        file = proc / "sys/kernel" / name
        syscalls.mount(str(file), file, flags=syscalls.MS_BIND)
        syscalls.mount("", file, flags=syscalls.MS_REMOUNT | syscalls.MS_BIND)
    if (proc / "sysrq-trigger").exists():
        syscalls.bind(Path("/dev/null"), proc / "sysrq-trigger")


def _execute(paths: SystemPaths, system: Start) -> None:
    words = [word.partition("=") for word in system.command_line.split()]
    wanted = [value for key, _, value in words if key == ("init" if system.partition else "rdinit")]
    # https://systemd.io/CONTAINER_INTERFACE: these variables tell a first process that it is in a container.
    environment = {"container": "kalab", "HOME": "/", "TERM": "vt220", "KALAB_STATE": paths.state}
    for program in [*wanted[-1:], *(PROGRAMS if system.partition else ("/init",))]:
        with contextlib.suppress(FileNotFoundError):
            os.execve(program, [program], environment)  # noqa: S606 - no shell is wanted
    sys.stderr.write("Kernel panic - not syncing: No working init found.\r\n")
    sys.stderr.flush()
