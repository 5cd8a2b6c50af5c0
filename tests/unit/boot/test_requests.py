# SPDX-License-Identifier: Apache-2.0
"""The log of requests: what is kept of each client, whatever others do."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kadeploy.boot import request_log
from kadeploy.boot.clients import BootClients
from kadeploy.boot.request_log import BURST, LINES_PER_SECOND, MAX_OTHERS, RequestLog
from kadeploy.boot.requests import OLDER, OTHERS, BootFileRequest, log_path, requests_of

START = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
NODE, STRANGER = "10.0.0.1", "10.9.9.9"


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "boot"


@pytest.fixture
def log(repository: Path, clock: Clock) -> RequestLog:
    return RequestLog(log_path(repository), BootClients({NODE}), clock=clock)


def request(number: int, client: str = NODE) -> BootFileRequest:
    return BootFileRequest(START + timedelta(seconds=number), "http", client, f"/{number}", 200, number, 0.5)


def paths(repository: Path, client: str, since: int) -> list[str]:
    return [one.path for one in requests_of(repository, client, START + timedelta(seconds=since))]


def slow(clock: Clock, log: RequestLog, requests: list[BootFileRequest]) -> None:
    for one in requests:
        clock.now += 1
        log.append(one)


def test_line() -> None:
    line = request(0).to_json()
    assert '"time": "2026-01-02T03:04:05.678Z"' in line and "left_out" not in line
    assert BootFileRequest.from_json(line) == request(0)
    head = replace(request(0), method="HEAD", left_out=3)
    assert BootFileRequest.from_json(head.to_json()) == head and "http HEAD /0: 200" in str(head)
    assert str(head).endswith("(and 3 before it that are not listed)")


def test_a_line_from_before_methods_were_told_apart() -> None:
    fields = json.loads(request(0).to_json())
    del fields["method"]
    assert BootFileRequest.from_json(json.dumps(fields)) == request(0)


def test_requests_of_one_client_since(repository: Path, log: RequestLog, clock: Clock) -> None:
    assert paths(repository, NODE, 0) == []
    slow(clock, log, [request(number, f"10.0.0.{number % 3}") for number in range(60)])
    assert paths(repository, NODE, 50) == ["/52", "/55", "/58"]
    assert len(paths(repository, "10.0.0.2", 0)) == 20
    assert paths(repository, "10.0.0.9", 0) == []


def test_a_client_that_asks_for_100000_files_erases_nothing_of_others(
    repository: Path, log: RequestLog, clock: Clock
) -> None:
    log.append(request(1))
    for number in range(100_000):
        clock.now += 0.0001
        log.append(request(number, STRANGER))
    log.append(request(2))
    assert paths(repository, NODE, 0) == ["/1", "/2"]
    assert len(list(log_path(repository).rglob("*"))) <= 5
    kept = requests_of(repository, STRANGER, START)
    assert BURST <= len(kept) <= BURST + 10 * LINES_PER_SECOND + 1
    clock.now += 1
    log.flush()
    kept = requests_of(repository, STRANGER, START)
    assert kept[-1].path == "/99999"  # the last one is there, and says how many are not
    assert len(kept) + sum(one.left_out for one in kept) == 100_000


def test_many_clients_that_are_no_nodes_share_a_bounded_room(
    repository: Path, log: RequestLog, clock: Clock
) -> None:
    log.append(request(1))
    for number in range(MAX_OTHERS + 100):
        clock.now += 1
        log.append(request(number, f"10.8.{number // 200}.{number % 200}"))
        others = log_path(repository) / OTHERS / f"10.8.{number // 200}.{number % 200}"
        os.utime(others, (number, number))
    assert len(list((log_path(repository) / OTHERS).iterdir())) == MAX_OTHERS
    assert paths(repository, NODE, 0) == ["/1"]
    assert paths(repository, "10.8.0.0", 0) == [] and paths(repository, "10.8.1.155", 0) == ["/355"]


@pytest.mark.parametrize("client", ["", "..", "../../etc/passwd", "a/b", "x" * 300])
def test_a_client_without_an_address_has_a_file_too(repository: Path, log: RequestLog, client: str) -> None:
    log.append(request(1, client))
    (file,) = (log_path(repository) / OTHERS).iterdir()
    assert file.name == "unknown"


def test_size_is_bounded_and_the_older_file_is_read(repository: Path, clock: Clock) -> None:
    log = RequestLog(log_path(repository), max_bytes=5000, clock=clock)
    slow(clock, log, [request(number) for number in range(200)])
    files = [log_path(repository) / name for name in (NODE, NODE + OLDER)]
    assert all(path.stat().st_size < 5300 for path in files)
    newest = files[0].read_text().count("\n")
    assert len(paths(repository, NODE, 200 - newest - 5)) == newest + 5
    long = replace(request(300), path="/" + "x" * 5000)
    log.append(long)
    assert len(requests_of(repository, NODE, START)[-1].path) < 300


def test_broken_line_is_passed_over(repository: Path, log: RequestLog) -> None:
    log.append(request(1))
    with (log_path(repository) / NODE).open("a") as file:
        file.write('{"time": "2026-01\n{}\nnull\n')
    log.append(request(2))
    assert paths(repository, NODE, 0) == ["/1", "/2"]


def test_two_processes_lose_nothing_when_a_file_is_full(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_log, "BURST", 1e9)
    logs = [RequestLog(log_path(repository), max_bytes=16_000) for _ in range(4)]

    def write(log: RequestLog, first: int) -> None:
        for number in range(20):
            log.append(request(first + number))

    threads = [threading.Thread(target=write, args=(log, 100 * place)) for place, log in enumerate(logs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths(repository, NODE, 0)) == 80
