# SPDX-License-Identifier: Apache-2.0
"""Every node gets the file from the head: nginx with sendfile, and curl."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .crew import Crew
from .fleet import HEAD
from .loads import NAME, Load

PORT = 80

_CONFIGURATION = """daemon off;
user root;
worker_processes 2;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    client_body_temp_path {folder}/nginx.body;
    proxy_temp_path {folder}/nginx.proxy;
    fastcgi_temp_path {folder}/nginx.fastcgi;
    uwsgi_temp_path {folder}/nginx.uwsgi;
    scgi_temp_path {folder}/nginx.scgi;
    server {{ listen {address}:{port}; root {root}; }}
}}
"""


def nginx(crew: Crew, load: Load) -> Mapping[str, Any]:
    fleet = crew.fleet
    path = fleet.folder / "nginx.conf"
    address = fleet.address(HEAD)
    values = {"folder": fleet.folder, "address": address, "port": PORT, "root": load.path.parent}
    path.write_text(_CONFIGURATION.format(**values))
    crew.await_port(crew.start(HEAD, ["nginx", "-c", path, "-e", "stderr"]), PORT)
    sink = f"-o {fleet.here / NAME}" if load.kind == "file" else f"| {load.shell(fleet)}"
    command = f"curl -sSf http://{address}:{PORT}/{load.path.name} {sink}"
    with crew.timed():
        crew.finish([crew.start(node, ["sh", "-c", command]) for node in fleet.nodes])
    return {}
