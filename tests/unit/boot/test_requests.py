# SPDX-License-Identifier: Apache-2.0
"""The log of requests."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kadeploy.boot.requests import BootFileRequest, RequestLog, log_path, requests_of

START = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def request(number: int, client: str = "10.0.0.1") -> BootFileRequest:
    return BootFileRequest(START + timedelta(seconds=number), "http", client, f"/{number}", 200, number, 0.5)


def paths(repository: Path, client: str, since: int) -> list[str]:
    return [one.path for one in requests_of(repository, client, START + timedelta(seconds=since))]


def test_line() -> None:
    line = request(0).to_json()
    assert '"time": "2026-01-02T03:04:05.678Z"' in line
    assert BootFileRequest.from_json(line) == request(0)
    head = replace(request(0), method="HEAD")
    assert BootFileRequest.from_json(head.to_json()) == head and "http HEAD /0: 200" in str(head)


def test_a_line_from_before_methods_were_told_apart() -> None:
    fields = json.loads(request(0).to_json())
    del fields["method"]
    assert BootFileRequest.from_json(json.dumps(fields)) == request(0)


def test_requests_of_one_client_since(tmp_path: Path) -> None:
    repository = tmp_path / "boot"
    assert paths(repository, "10.0.0.1", 0) == []
    log = RequestLog(log_path(repository))
    for number in range(3000):
        log.append(request(number, f"10.0.0.{number % 3}"))
    assert paths(repository, "10.0.0.1", 2990) == ["/2992", "/2995", "/2998"]
    assert len(paths(repository, "10.0.0.2", 0)) == 1000
    assert paths(repository, "10.0.0.9", 0) == []


def test_size_is_bounded_and_the_older_file_is_read(tmp_path: Path) -> None:
    repository = tmp_path / "boot"
    log = RequestLog(log_path(repository), max_bytes=5000)
    for number in range(200):
        log.append(request(number))
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["requests.jsonl", "requests.jsonl.1"]
    assert all(path.stat().st_size < 5300 for path in tmp_path.iterdir())
    newest = (tmp_path / "requests.jsonl").read_text().count("\n")
    assert len(paths(repository, "10.0.0.1", 200 - newest - 5)) == newest + 5


def test_broken_line_is_passed_over(tmp_path: Path) -> None:
    repository = tmp_path / "boot"
    log = RequestLog(log_path(repository))
    log.append(request(1))
    with log_path(repository).open("a") as file:
        file.write('{"time": "2026-01\n{}\nnull\n')
    log.append(request(2))
    assert paths(repository, "10.0.0.1", 0) == ["/1", "/2"]
