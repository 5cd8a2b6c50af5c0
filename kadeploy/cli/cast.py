# SPDX-License-Identifier: Apache-2.0
"""Work of the kacast command: options to a cast, its results to lines, files and an exit status."""

from __future__ import annotations

import asyncio
import posixpath
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from kadeploy.broadcast.fallback import ChainOrPull
from kadeploy.broadcast.interface import BroadcastOptions, ImageSource, RelayResult
from kadeploy.cast.cast import Cast, CastRequest, Destination
from kadeploy.cli import verdict
from kadeploy.cli.cast_options import CastOptions
from kadeploy.cli.cast_progress import show_progress
from kadeploy.cli.descriptors import raise_descriptor_limit
from kadeploy.cli.node_lists import node_names
from kadeploy.cli.result_files import ResultFiles
from kadeploy.cli.signals import Signals
from kadeploy.cli.standard_streams import mention, tell, tell_problem
from kadeploy.errors import (
    ExitStatus,
    NotFoundError,
    RequestError,
    RequestProblem,
    ServiceError,
    UsageError,
)
from kadeploy.nodes import fold
from kadeploy.operations.enough import parse_min_ok
from kadeploy.remote.user import UserConnections
from kadeploy.service.views.cast import CastView

SPOOL_CHUNK = 1 << 20
PERMISSIONS = 0o644  # of what came by standard input

Results = Mapping[str, RelayResult]


def cast(options: CastOptions) -> ExitStatus:
    """Carry out the command; raises KadeployError for what was refused."""
    hosts = node_names(options)
    enough = _enough(options.min_ok, len(hosts)) if options.min_ok else len(hosts)
    with _source(options.file) as (image, mode):
        request = _request(options, hosts, image, mode)
        files = ResultFiles((options.output_ok_nodes, options.output_ko_nodes))
        raise_descriptor_limit()
        try:
            results = asyncio.run(_cast(options, request, files))
        except asyncio.CancelledError:  # SIGTERM or SIGHUP; SIGINT is KeyboardInterrupt already
            raise KeyboardInterrupt from None
    if sum(result.ok for result in results.values()) < enough:
        return ExitStatus.NODES_FAILED
    return ExitStatus.SERVICE if files.problems else ExitStatus.OK


def _enough(text: str, count: int) -> int:
    try:
        return parse_min_ok(text, count)
    except ValueError as error:
        raise RequestError([RequestProblem("min_ok", str(error))]) from None


def _request(options: CastOptions, hosts: Sequence[str], image: ImageSource, mode: int) -> CastRequest:
    settings = BroadcastOptions(
        arity=options.arity,
        window=options.window << 20,
        silence=options.silence,
        deadline=options.deadline,
    )
    consumer = [options.command] if options.command else _destination(options, mode)
    return CastRequest(image, hosts, consumer, options.address, settings)


def _destination(options: CastOptions, mode: int) -> Destination:
    path = str(options.destination)
    if not path.startswith("/"):
        raise UsageError(f"--to: '{path}' is not an absolute path")
    if not path.endswith("/"):
        return Destination(path, mode)
    if options.file == "-":
        raise UsageError(f"--to: what comes by standard input has no name in {path}", hint="add one")
    return Destination(posixpath.join(path, Path(options.file).name), mode)


async def _cast(options: CastOptions, request: CastRequest, files: ResultFiles) -> Results:
    Signals()
    began = time.monotonic()
    connections = UserConnections(
        user=options.user,
        port=options.port,
        key=options.identity,
        known_hosts=options.known_hosts,
    )
    try:
        async with show_progress(len(request.hosts), request.image.size) as progress:
            cast = Cast(request, connections, ChainOrPull(), progress.add, progress.fail)
            files.empty()
            results = await cast.run()
    except asyncio.CancelledError:
        _write_files(options, files, [], request.hosts)
        raise
    finally:
        await connections.aclose()
    _print_results(options, request, results, time.monotonic() - began)
    good = [host for host, result in results.items() if result.ok]
    _write_files(options, files, good, [host for host, result in results.items() if not result.ok])
    return results


def _print_results(options: CastOptions, request: CastRequest, results: Results, seconds: float) -> None:
    if options.as_json:
        mention(CastView.of(request, results, seconds).to_json_text())
    else:
        mention("\n".join(_summary(results)))
    for line in (*_remarks(results), *_evidence(results)):
        tell(line)


def _summary(results: Results) -> Iterator[str]:
    """Lists of hosts in the lines of the other commands, for the same scripts."""
    good = [host for host, result in results.items() if result.ok]
    bad = {host: result for host, result in results.items() if not result.ok}
    if good:
        yield "The cast is successful on nodes"
        yield from good
    if bad:
        yield "The cast failed on nodes"
        yield from (f"{host} ({result.reason})" for host, result in bad.items())


def _remarks(results: Results) -> Iterator[str]:
    """Remarks on the way to hosts, each with all its hosts."""
    hosts: dict[str, list[str]] = {}
    for host, result in results.items():
        for note in result.notes:
            hosts.setdefault(note, []).append(host)
    yield from (f"{fold(names)}: {note}" for note, names in hosts.items())


def _evidence(results: Results) -> Iterator[str]:
    for host, result in results.items():
        if not result.ok:
            yield f"{host}: [{result.trouble}] {result.reason}"
            yield from (f"    {line}" for line in result.evidence.splitlines()[-verdict.EVIDENCE_LINES :])


def _write_files(options: CastOptions, files: ResultFiles, good: Sequence[str], bad: Sequence[str]) -> None:
    files.append(options.output_ok_nodes, [f"{host}\n" for host in good])
    files.append(options.output_ko_nodes, [f"{host}\n" for host in bad])
    for problem in files.problems:
        tell_problem(problem)


@contextmanager
def _source(file: str) -> Iterator[tuple[ImageSource, int]]:
    """File to send and its permissions; standard input becomes a file without a name, which leaves none."""
    if file != "-":
        yield _examine(Path(file))
        return
    with tempfile.TemporaryFile() as spool:
        tell(f"reading standard input into a temporary file in {tempfile.gettempdir()}")
        try:
            shutil.copyfileobj(sys.stdin.buffer, spool, SPOOL_CHUNK)
            spool.flush()
        except OSError as error:
            hint = "TMPDIR=DIRECTORY names another place"
            raise ServiceError(f"standard input cannot be kept: {error.strerror}", hint=hint) from error
        yield ImageSource(Path(f"/proc/self/fd/{spool.fileno()}"), spool.tell()), PERMISSIONS


def _examine(path: Path) -> tuple[ImageSource, int]:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise NotFoundError(f"{path} is not a file", hint="'-' reads standard input")
        path.open("rb").close()
    except OSError as error:
        raise NotFoundError(f"{path} cannot be read: {error.strerror}") from error
    return ImageSource(path, status.st_size), stat.S_IMODE(status.st_mode) & 0o777
