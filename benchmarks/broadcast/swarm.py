# SPDX-License-Identifier: Apache-2.0
"""BitTorrent: aria2 on all nodes, which stay and seed, with a tracker on the head."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .crew import Crew
from .fleet import HEAD
from .loads import NAME, Load

TRACKER_PORT, PEER_PORT = 6969, 6881
PIECE_BITS = 18  # 256 KiB
COMPLETE = "complete"

_ARIA = [
    *("aria2c", "--quiet", "--no-conf", "--disable-ipv6", "--file-allocation=none"),
    *("--enable-dht=false", "--bt-enable-lpd=false", "--bt-max-peers=0", "--seed-ratio=0.0"),
    f"--listen-port={PEER_PORT}",
]


def aria2(crew: Crew, load: Load) -> Mapping[str, Any]:
    """The nodes know each other from the tracker before the seed comes; the last to have all ends it."""
    fleet = crew.fleet
    torrent, hook = fleet.folder / "image.torrent", fleet.folder / "complete.sh"
    _start_tracker(crew, load, torrent)
    hook.write_text(f"#!/bin/sh\nexec touch {fleet.here / COMPLETE}\n")
    hook.chmod(0o755)
    for node in fleet.nodes:
        leeching = [f"--on-bt-download-complete={hook}", "-d", str(fleet.here)]
        crew.await_port(crew.start(node, [*_ARIA, *leeching, torrent]), PEER_PORT)
    with crew.timed():
        seeding = ["--bt-seed-unverified=true", "-d", str(load.path.parent)]
        crew.start(HEAD, [*_ARIA, *seeding, torrent])
        crew.finish_files(fleet.store(node) / COMPLETE for node in fleet.nodes)
    return {}


def _start_tracker(crew: Crew, load: Load, torrent: Path) -> None:
    """Make the torrent's file, and start a tracker that serves it alone."""
    folder, address = crew.fleet.folder, crew.fleet.address(HEAD)
    torrent.unlink(missing_ok=True)
    tracker = f"http://{address}:{TRACKER_PORT}/announce"
    making: list[str | Path] = [
        "mktorrent",
        "-a",
        tracker,
        "-l",
        str(PIECE_BITS),
        "-n",
        NAME,
        "-o",
        torrent,
        load.path,
    ]
    subprocess.run(making, check=True, stdout=subprocess.DEVNULL)
    (folder / "torrents").write_text(f"{_info_hash(torrent)}\n")
    # It makes the folder its root first.
    ports = ["-p", str(TRACKER_PORT), "-P", str(TRACKER_PORT)]
    command = ["opentracker", "-i", address, *ports, "-d", str(folder), "-w", "/torrents"]
    crew.await_port(crew.start(HEAD, command), TRACKER_PORT)


def _info_hash(torrent: Path) -> str:
    """The digest by which the tracker knows what it may serve."""
    shown = subprocess.run(["aria2c", "-S", torrent], check=True, capture_output=True, text=True).stdout
    return next(line.split()[-1] for line in shown.splitlines() if line.startswith("Info Hash:"))
