# SPDX-License-Identifier: Apache-2.0
"""KVM or TCG: KVM only where a real Linux kernel boots under it.

On some hosts /dev/kvm exists, runs the firmware and then hangs with any kernel. So the kernel of the
deployment environment is booted once, without a root file system: it must get as far as missing that.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
from pathlib import Path

from kadeploy.lab.qemu.command import PROGRAM, Accelerator

DEVICE = Path("/dev/kvm")
CACHE = Path("/var/cache/kalab/accelerator.json")
PROBE_SECONDS = 10.0
PROOF = b"Unable to mount root fs"


def choose(kernel: Path) -> Accelerator:
    """Accelerator for this host; the answer of a probe is kept until the host boots another kernel."""
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return "tcg"
    key = _key(kernel)
    known = _read_cache()
    if known.get("key") == key:
        return "kvm" if known.get("works") else "tcg"
    works = probe(kernel)
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    CACHE.write_text(json.dumps({"key": key, "works": works}))
    return "kvm" if works else "tcg"


def probe(kernel: Path, seconds: float = PROBE_SECONDS) -> bool:
    """Try to boot this kernel under KVM within ``seconds``; True if it boots."""
    argv = [
        *(PROGRAM, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-vga", "none"),
        *("-machine", "pc", "-accel", "kvm", "-cpu", "host", "-m", "512", "-serial", "stdio"),
        *("-kernel", str(kernel), "-append", "console=ttyS0 panic=-1"),  # -1: reboots at once, which ends it
    ]
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return PROOF in done.stdout


def _key(kernel: Path) -> str:
    size = kernel.stat().st_size
    return f"{platform.release()} {platform.version()} {DEVICE.stat().st_ctime_ns} {size}"


def _read_cache() -> dict[str, object]:
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(CACHE.read_text())
        if isinstance(known, dict):
            return known
    return {}
