# SPDX-License-Identifier: Apache-2.0
"""BitTorrent: aria2 on all nodes, which stay and seed, with a tracker on the head."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import Any

from one_to_all.crew import Crew
from one_to_all.fleet import HEAD
from one_to_all.loads import NAME, Load

TRACKER_PORT, PEER_PORT = 6969, 6881
PIECE_BITS = 18  # 256 KiB
COMPLETE = "complete"

_OPTIONS = (
    "--quiet --no-conf --enable-dht=false --bt-enable-lpd=false --disable-ipv6 --seed-ratio=0.0 --bt-max-peers=0"
    " --file-allocation=none --follow-torrent=mem --max-overall-upload-limit=0"
).split()


def aria2(crew: Crew, load: Load) -> Mapping[str, Any]:
    """The nodes know each other from the tracker before the seed comes; it ends when the last has all pieces."""
    fleet = crew.fleet
    address = fleet.address(HEAD)
    torrent, hook = fleet.folder / "image.torrent", fleet.folder / "complete.sh"
    torrent.unlink(missing_ok=True)
    tracker = f"http://{address}:{TRACKER_PORT}/announce"
    making = ["mktorrent", "-a", tracker, "-l", str(PIECE_BITS), "-n", NAME, "-o", torrent, load.path]
    subprocess.run(making, check=True, stdout=subprocess.DEVNULL)
    hook.write_text(f"#!/bin/sh\nexec touch {fleet.here / COMPLETE}\n")
    hook.chmod(0o755)
    opentracker = ["opentracker", "-i", address, "-p", str(TRACKER_PORT), "-P", str(TRACKER_PORT)]
    crew.await_port(crew.start(HEAD, opentracker), TRACKER_PORT)
    port = f"--listen-port={PEER_PORT}"
    for node in fleet.nodes:
        command = ["aria2c", *_OPTIONS, port, f"--on-bt-download-complete={hook}", "-d", fleet.here, torrent]
        crew.await_port(crew.start(node, command), PEER_PORT)
    seed = ["aria2c", *_OPTIONS, port, "--bt-seed-unverified=true", "-d", load.path.parent, torrent]
    with crew.timed():
        crew.start(HEAD, seed)
        crew.finish_files(fleet.store(node) / COMPLETE for node in fleet.nodes)
    return {}
