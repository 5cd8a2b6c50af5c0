# SPDX-License-Identifier: Apache-2.0
"""The program that starts benchmarks, and those that need neither root nor a lab."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest

from benchmarks import isolation, program
from benchmarks.benchmark import Benchmark, MeasurementError, Result
from benchmarks.windows import benchmark as windows
from kadeploy.errors import KadeployError, RefusedError
from kadeploy.lab import services
from kadeploy.lab.machine import record_of
from kadeploy.lab.plan import ROOT, LabPlan
from tests.benchmarks import RUN, measured, refused

NAMES = (
    *("attack", "boot_storm", "broadcast", "control_plane", "end_to_end", "engine", "faults", "overhead"),
    *("slow_node", "soak", "windows"),
)


@pytest.mark.needs("ssh-keygen")
@pytest.mark.parametrize("journal", [(), ("--journal",)], ids=["memory", "journal"])
def test_the_engine_deploys_simulated_nodes(tmp_path: Path, journal: tuple[str, ...]) -> None:
    done = measured("engine", tmp_path, "--nodes", "100", *journal)
    [row] = done.figures["rows"]
    assert row["nodes"] == 100 and 90 <= row["ok"] <= 100
    assert row["steps"] > 100 * 14, "each node goes through all micro-steps"
    assert row["seconds"] > 0 and row["peak_mb"] > row["start_mb"] > 0
    assert len(done.shown.splitlines()) == 2, "a table of one row"


@pytest.mark.needs("ssh-keygen")
def test_the_log_of_events_is_compared(tmp_path: Path) -> None:
    done = measured("engine", tmp_path, "--nodes", "20", "--events")
    [row], [same] = done.figures["rows"], done.figures["events"]
    assert (row["steps"], row["ok"]) == (same["steps"], same["ok"])
    # Differences of times since this machine was started, of which floats lose the last digits.
    assert row["simulated"] == pytest.approx(same["simulated"], rel=1e-6)
    assert same["ratio"] == same["cpu_seconds"] / row["cpu_seconds"]
    assert row["batches"] == 0 < same["batches"] <= 10 * same["simulated"] + 1
    last = f"20 nodes: {same['ratio']:.2f} times the processor time, {same['batches']} batches"
    assert done.shown.splitlines()[-1] == last


@pytest.mark.slow
def test_windows_are_shared_by_two_processes(tmp_path: Path) -> None:
    done = measured("windows", tmp_path, "--quick", "--span", "1")
    [reboots], [probes] = done.figures["reboots"], done.figures["probes"]
    assert [process["nodes"] for process in reboots] == [30, 30]
    assert all(process["total_s"] >= 1 and process["exchanges"] > 0 for process in reboots)
    assert [process["looks_per_s"] > 0 for process in probes] == [True]
    assert len([line for line in done.shown.splitlines() if line]) == 3


def test_every_benchmark_is_listed_and_declared() -> None:
    done = subprocess.run([RUN], capture_output=True, text=True, check=True)
    assert tuple(program.names()) == NAMES
    for name in NAMES:
        assert f"  {name} " in done.stdout
        benchmark = importlib.import_module(f"benchmarks.{name}.benchmark").BENCHMARK
        parser = ArgumentParser(allow_abbrev=False)
        benchmark.add_options(parser)
        known = vars(parser.parse_args([]))
        assert set(benchmark.quick) <= set(known), f"--quick of {name} sets what is no option"


def test_who_reads_may_see_enough() -> None:
    with subprocess.Popen([RUN], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_no_benchmark_knows_files_of_a_lab_by_heart(short_directory: Path) -> None:
    lab = LabPlan("l", 1, short_directory / "state", short_directory, short_directory, short_directory)
    [node] = lab.nodes
    paths = [
        lab.store,
        lab.cluster_file,
        node.console,
        record_of(node.directory),
        services._record(lab.state, services.BOOT_SERVICE),
    ]
    names = [str(ROOT), *(path.name for path in paths)]
    sources = [path for path in RUN.parent.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert {".py", ".sh", ""} <= {path.suffix for path in sources}
    for source in sources:
        text = source.read_text()
        assert [name for name in names if name in text] == [], f"{source}: kadeploy.lab says where it is"


def test_a_checkout_without_its_python_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "benchmarks").mkdir()
    copy = shutil.copy(RUN, tmp_path / "benchmarks")
    done = subprocess.run([copy], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path}/.venv/bin/python is missing: run bin/check, which makes it\n"
    assert "\nensure_venv\n" in (RUN.parents[1] / "bin" / "check").read_text()


def test_another_name_is_refused() -> None:
    done = subprocess.run([RUN, "storm"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no benchmark 'storm'; there are attack, boot_storm" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["engine", "--nodes", "0"], "0 is not from 1 to"),
        (["engine", "--nodes", "many"], "many is no number"),
        (["faults", "--share", "101"], "101 is not from 0 to 100"),
        (["faults", "--seeds", "x"], "argument --seeds: invalid int value"),
        (["soak", "--times", "1.5"], "1.5 is no whole number"),
        (["end_to_end", "--nodes", "1,201"], "201 is not from 1 to 200"),
        (["broadcast", "--quick", "--faults"], "--faults cannot be had with --quick"),
        (["engine", "--json", "/nowhere/figures.json"], "--json: there is no directory /nowhere"),
    ],
)
def test_options_that_cannot_be_obeyed(words: list[str], said: str) -> None:
    assert said in refused(words)


def declared(monkeypatch: pytest.MonkeyPatch, benchmark: Benchmark) -> None:
    """A benchmark stands in the place of that of the engine."""
    module = importlib.import_module("benchmarks.engine.benchmark")
    monkeypatch.setattr(module, "BENCHMARK", benchmark)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setenv("PYTHONPATH", "")


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (MeasurementError("nothing came"), 1, "benchmarks/run engine: nothing came\n"),
        (RefusedError("no", hint="do it"), 3, "benchmarks/run engine: no (do it)\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_what_goes_wrong_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: KadeployError | KeyboardInterrupt,
    status: int,
    said: str,
) -> None:
    def measure(_: object) -> Result:
        raise error

    declared(monkeypatch, Benchmark("", lambda _: None, measure, {}, "", needs_root=False))
    assert program.main(["engine"]) == status
    assert capsys.readouterr().err == said


def test_quick_takes_the_place_of_defaults_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def add_options(parser: ArgumentParser) -> None:
        parser.add_argument("--nodes", type=int, default=100)
        parser.add_argument("--times", type=int, default=10)

    def measure(options: object) -> Result:
        return Result({}, [str(sorted(vars(options).items()))], good=False)

    quick = {"nodes": 5, "times": 2}
    declared(monkeypatch, Benchmark("", add_options, measure, quick, "", needs_root=False))
    assert program.main(["engine", "--quick", "--times", "7"]) == 1
    shown = "[('json', None), ('nodes', 5), ('quick', True), ('times', 7)]\n"
    assert capsys.readouterr().out == shown


def test_a_result_that_nobody_reads_keeps_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = Result({}, ["a line"], good=False)
    declared(monkeypatch, Benchmark("", lambda _: None, lambda _: result, {}, "", needs_root=False))
    with os.fdopen(writer, "w") as unread:
        monkeypatch.setattr(sys, "stdout", unread)
        assert program.main(["engine"]) == 1


def test_a_broken_pipe_of_a_measurement_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(_: object) -> Result:
        raise BrokenPipeError

    declared(monkeypatch, Benchmark("", lambda _: None, measure, {}, "", needs_root=False))
    with pytest.raises(BrokenPipeError):
        program.main(["engine"])


MANY = "x" * 1_000_000  # more than a pipe holds: they are still being written when their reader ends


def test_a_series_that_ends_at_once_is_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "_ENTER", [])
    with pytest.raises(MeasurementError, match="the series of samples took no orders"):
        isolation.take(dict, "benchmarks.nothing.series", {"orders": MANY}, lambda _: None)


def test_a_process_with_windows_that_ends_at_once_is_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "CONTENDER", "benchmarks.nothing")
    with pytest.raises(MeasurementError, match="a process with windows took no orders"):
        windows.compete([{"kind": MANY}])
