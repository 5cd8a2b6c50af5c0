# SPDX-License-Identifier: Apache-2.0
"""What the benchmark boot_storm makes of its samples, and of servers that cannot take part."""

from __future__ import annotations

import json
import math
import shutil
from argparse import ArgumentParser, Namespace
from dataclasses import fields, replace
from typing import Any

import pytest

from benchmarks import isolation
from benchmarks.benchmark import Result
from benchmarks.boot_storm import benchmark, report, servers
from benchmarks.boot_storm.measure import Sample
from kadeploy.errors import NotFoundError
from tests.benchmarks import refused


def options(*words: str) -> Namespace:
    parser = ArgumentParser()
    benchmark.add_options(parser)
    return parser.parse_args(words)


def sample(server: str, failed: int) -> Sample:
    """A storm of ten machines."""
    names: dict[str, Any] = {field.name: 0 for field in fields(Sample)}
    texts = {"case": "kernel and initrd, HTTP", "server": server, "errors": ["no answer"] if failed else []}
    return Sample(**names | texts | {"machines": 10, "failed": failed})


def measured(monkeypatch: pytest.MonkeyPatch, *samples: Sample) -> Result:
    monkeypatch.setattr(isolation, "take", lambda *_: list(samples))
    return benchmark.measure(options())


def test_a_machine_that_kadeploy_boot_did_not_serve_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not measured(monkeypatch, sample(servers.OURS, 1), sample("nginx", 0)).good


def test_machines_that_another_server_did_not_serve_are_its_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured(monkeypatch, sample(servers.OURS, 0), sample("nginx", 10)).good


def test_times_that_no_machine_has_are_null_in_json() -> None:
    nobody = replace(sample(servers.OURS, 10), median=math.nan, p99=math.nan, last=math.nan)
    text = json.dumps(report.figures([nobody], {}), allow_nan=False)
    assert json.loads(text)["rows"][0]["p99"] is None


def test_the_only_server_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "UNPACKED", servers.UNPACKED / "nothing")
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(NotFoundError, match="no server is left to measure") as caught:
        benchmark.measure(options("--server", "nginx"))
    assert "apt-get download nginx" in caught.value.hint


def test_the_only_server_must_speak_the_only_protocol() -> None:
    said = refused(["boot_storm", "--server", "nginx", "--protocol", "tftp"])
    assert "nginx does not serve by tftp" in said
