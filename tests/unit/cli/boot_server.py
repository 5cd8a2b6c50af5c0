# SPDX-License-Identifier: Apache-2.0
"""A kadeploy-boot for a configuration: no boot is ordered where none answers."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.ports import free_port


@contextmanager
def boot_server(configuration: Path) -> Iterator[None]:
    """Serve boot files at free ports, which the configuration gets."""
    path = configuration / "server.conf"
    content = yaml.safe_load(path.read_text())
    content["network"]["ports"] |= {"http": free_port(), "tftp": free_port(socket.SOCK_DGRAM)}
    path.write_text(yaml.safe_dump(content))
    argv = [str(Path(sys.executable).with_name("kadeploy-boot")), "--config-dir", str(configuration)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline().startswith("serving")
        try:
            yield
        finally:
            process.terminate()
