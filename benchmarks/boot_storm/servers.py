# SPDX-License-Identifier: Apache-2.0
"""The servers that are compared, each started as its users start it, over the same folder of files."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.benchmark import CHECKOUT, MeasurementError
from benchmarks.boot_storm.network import HEAD

UNPACKED = CHECKOUT / "build" / "benchmarks" / "boot_storm"
OURS = "kadeploy-boot"
HTTP_PORT, TFTP_PORT = 8069, 69
START_TIME = 20.0  # seconds
START_ATTEMPTS = 3  # atftpd sometimes needs another
END_TIME = 5.0


@dataclass(frozen=True, slots=True)
class Server:
    """A program; ``command`` gets the folder of the files and one for whatever else it needs."""

    name: str
    program: str
    package: str
    protocols: tuple[str, ...]
    command: Callable[[str, Path, Path], Sequence[str]]

    @property
    def path(self) -> str | None:
        """Where the program is; None where it is missing."""
        folders = [str(UNPACKED / "usr" / "sbin"), "/usr/sbin", "/usr/bin", os.environ.get("PATH", "")]
        return shutil.which(self.program, path=os.pathsep.join(folders))

    @contextmanager
    def running(self, files: Path, folder: Path) -> Iterator[int]:
        """Start it and wait until it answers; yields its process id."""
        folder.mkdir(exist_ok=True)
        for _ in range(START_ATTEMPTS):
            process = self._start(files, folder)
            try:
                if all(_wait(process, _ANSWERS[protocol]) for protocol in self.protocols):
                    yield process.pid
                    return
            finally:
                _end(process)
        reason = (folder / "log").read_text()[-1000:] or "it says nothing"
        raise MeasurementError(f"{self.name} does not answer; exit status {process.returncode}: {reason}")

    def _start(self, files: Path, folder: Path) -> subprocess.Popen[bytes]:
        assert self.path is not None
        with (folder / "log").open("wb") as log:
            return subprocess.Popen(self.command(self.path, files, folder), stdout=log, stderr=log)


def _wait(process: subprocess.Popen[bytes], answers: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + START_TIME
    while not answers():
        if process.poll() is not None or time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(END_TIME)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answers_http() -> bool:
    try:
        with socket.create_connection((HEAD, HTTP_PORT), timeout=1):
            return True
    except OSError:
        return False


def _answers_tftp() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        client.sendto(b"\0\1nothing\0octet\0", (HEAD, TFTP_PORT))
        try:
            return bool(client.recv(1000))
        except OSError:
            return False


_ANSWERS = {"http": _answers_http, "tftp": _answers_tftp}

_CLUSTERS = """\
clusters: [{name: c, conf_file: c.conf, nodes: [
  {name: "a-[1-250]", address: "10.99.4.[1-250]"}, {name: "b-[1-250]", address: "10.99.5.[1-250]"},
  {name: "c-[1-250]", address: "10.99.6.[1-250]"}, {name: "d-[1-250]", address: "10.99.7.[1-250]"}]}]
"""
_CLUSTER = """\
partitioning: {block_device: /dev/vda, layout: [{name: deploy, number: 1, size: rest}]}
boot: {kernels: {deploy: {vmlinuz: a, initrd: b}}}
remoteops: {reboot: [{cmd: "true"}]}
"""
_NGINX = """\
daemon off; user root; worker_processes auto; worker_rlimit_nofile 8192;
pid {folder}/pid; error_log {folder}/errors;
events {{ worker_connections 4096; }}
http {{
  sendfile on; tcp_nopush on; access_log {folder}/access;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen {head}:{port}; root {files}; }}
}}
"""


def _kadeploy(program: str, files: Path, folder: Path) -> Sequence[str]:
    ports = f"{{http: {HTTP_PORT}, tftp: {TFTP_PORT}}}"
    server = (
        f"network: {{server_address: {HEAD}, ports: {ports}}}\npxe: {{dhcp: {{repository: {files}}}}}\n"
        f"database: {{name: {folder}/orders.sqlite}}\n"
    )
    for name, text in (("server.conf", server), ("clusters.conf", _CLUSTERS), ("c.conf", _CLUSTER)):
        (folder / name).write_text(text)
    code = "from kadeploy.cli.kadeploy_boot import main; main()"
    return [program, "-P", "-c", code, "--config-dir", str(folder)]


def _nginx(program: str, files: Path, folder: Path) -> Sequence[str]:
    (folder / "conf").write_text(_NGINX.format(folder=folder, head=HEAD, port=HTTP_PORT, files=files))
    return [program, "-c", str(folder / "conf")]


def _atftpd(program: str, files: Path, _folder: Path) -> Sequence[str]:
    # Its own default is 100 threads, and it does not answer further clients.
    where = ["--bind-address", HEAD, "--port", str(TFTP_PORT), "--user", "root", "--group", "root"]
    return [program, "--daemon", "--no-fork", "--maxthread", "1000", *where, str(files)]


def _tftpd_hpa(program: str, files: Path, _folder: Path) -> Sequence[str]:
    where = ["--address", f"{HEAD}:{TFTP_PORT}", "--user", "root"]
    return [program, "--foreground", "--listen", *where, "--secure", str(files)]


SERVERS = (
    Server(OURS, sys.executable, "", ("http", "tftp"), _kadeploy),
    Server("nginx", "nginx", "nginx", ("http",), _nginx),
    Server("atftpd", "atftpd", "atftpd", ("tftp",), _atftpd),
    Server("tftpd-hpa", "in.tftpd", "tftpd-hpa", ("tftp",), _tftpd_hpa),
)


def taking_part(protocol: str, names: Sequence[str]) -> list[Server]:
    """The servers among these that serve by a protocol and are there."""
    return [
        server for server in SERVERS if protocol in server.protocols and server.path and server.name in names
    ]


def missing() -> dict[str, str]:
    """Servers that cannot take part, and the command lines that get them.

    They are unpacked, not installed: Debian's TFTP servers each want to be the only one.
    """
    return {server.name: _getting(server.package) for server in SERVERS if server.path is None}


def _getting(package: str) -> str:
    folder = UNPACKED.relative_to(CHECKOUT)
    return f"mkdir -p {folder} && cd {folder} && apt-get download {package} && dpkg -x {package}_*.deb ."
