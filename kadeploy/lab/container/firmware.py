# SPDX-License-Identifier: Apache-2.0
"""Firmware of a container node: waits, then boots from network or disk in the order that its BMC was given.

It runs in a child of the node's process, for it waits; its decision comes back as JSON.
"""

from __future__ import annotations

import fcntl
import http.client
import shutil
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kadeploy.lab.container import initrd, ipxe, localdisk
from kadeploy.lab.container.disk import Disk
from kadeploy.lab.container.loss import RequestLoss
from kadeploy.lab.container.system import Start

FETCH_SECONDS = 60.0  # without a byte
KERNELS = "kernels"  # where the boot repository has kernels and initrds, named by their content
MAX_SCRIPT = 64 * 1024  # bytes
_BLOCK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Decision:
    """Decision of the firmware: a system to start, a restart, or neither if it found nothing."""

    start: Start | None = None
    restart: bool = False


class FirmwareStart:
    """One start of a node's firmware; ``node`` is its machine.json, ``lost`` counts requests to lose."""

    def __init__(
        self, directory: Path, node: dict[str, Any], disk: Disk, order: tuple[str, ...], lost: int = 0
    ) -> None:
        self._loss = RequestLoss(lost, time.sleep)
        self._directory = directory
        self._node = node
        self._disk = disk
        self._order = order
        self._systems = Path(node["systems"])
        self._found: localdisk.DiskSystem | None = None

    def decide(self) -> Decision:
        """Try the devices in their order."""
        for device in self._order:
            decision = self._from_network() if device == "net" else self._from_disk()
            if decision is not None:
                return decision
        _print_line("No bootable device.")
        return Decision()

    def _from_disk(self) -> Decision | None:
        _print_line("Booting from Hard Disk...")
        if not self._find_system():
            _print_line("Boot failed: not a bootable disk")
            return None
        return self._disk_decision()

    def _find_system(self) -> bool:
        self._found = localdisk.find(self._disk, self._directory / "root")
        return self._found is not None

    def _disk_decision(self) -> Decision | None:
        if self._found is None:
            return None
        return Decision(Start(self._found.command_line, partition=self._found.partition))

    def _from_network(self) -> Decision | None:
        script = ipxe.Ipxe(self._settings(), self._fetch, self._find_system, _print_line, time.sleep)
        outcome = script.boot(self._node["boot_url"])
        match outcome:
            case ipxe.BootKernel():
                return Decision(Start(outcome.command_line, tree=str(self._tree(outcome.initrd))))
            case ipxe.BootDisk():
                return self._disk_decision()
            case ipxe.Restart():
                return Decision(restart=True)
        return None

    def _settings(self) -> dict[str, str]:
        """Settings of iPXE from the card and from DHCP."""
        node = self._node
        macs = dict.fromkeys(("mac", "netX/mac", "net0/mac"), node["mac"])
        return {**macs, "ip": node["address"], "hostname": node["name"], "platform": "pcbios"}

    def _fetch(self, url: str) -> bytes:
        """Content of a script; kernel and initrd are read over the node's link, and thrown away."""
        self._loss.delay()
        if f"/{KERNELS}/" not in url:
            return b"".join(_get(url, MAX_SCRIPT))
        if self._node["whole_files"]:
            for _ in _get(url):
                pass
        else:
            _ask(url)
        return b""

    def _tree(self, url: str) -> Path:
        """Directory of the unpacked initrd behind a URL; the first node unpacks it for all.

        This node fetches the file as well, so that its boot takes as long as those of the others.
        """
        name = Path(urllib.parse.urlsplit(url).path).name
        tree = self._systems / name
        with (self._systems / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not tree.is_dir():
                new = tree.with_suffix(".new")
                shutil.rmtree(new, ignore_errors=True)
                new.mkdir()
                initrd.unpack(Path(self._node["repository"], KERNELS, name), new)
                new.rename(tree)
        return tree


def _get(url: str, limit: int | None = None) -> Iterator[bytes]:
    """Content of a URL, at most ``limit`` bytes of it; raises OSError."""
    with_body = _request("GET", url)
    total = 0
    while block := with_body.read(_BLOCK):
        total += len(block)
        if limit is not None and total > limit:
            raise OSError(f"more than {limit} bytes")
        yield block
    if with_body.length:
        raise OSError("the connection was cut")


def _ask(url: str) -> None:
    _request("HEAD", url).read()


def _request(method: str, url: str) -> http.client.HTTPResponse:
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=FETCH_SECONDS)
    try:
        connection.request(method, parts.path)
        answer = connection.getresponse()
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP answer: {error}") from error
    if answer.status != http.client.OK:
        raise OSError(f"HTTP status {answer.status}")
    return answer


def _print_line(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the console is its standard output
