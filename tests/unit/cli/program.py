# SPDX-License-Identifier: Apache-2.0
"""Commands of this project as their console scripts call them, in this process or in one of their own."""

from __future__ import annotations

import importlib
import io
import logging
import os
import resource
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from unittest import mock

CHECKOUT = Path(__file__).parents[3]

Completed = subprocess.CompletedProcess[str]


def run(
    name: str,
    arguments: Sequence[str],
    directory: Path,
    variables: Mapping[str, str],
    text: str | None = None,
) -> Completed:
    """A process of the installed program, with these variables and no others."""
    return subprocess.run(
        [Path(sys.executable).with_name(name), *arguments],
        input=text,
        capture_output=True,
        text=True,
        # Whichever checkout the programs were installed from, this one is tested.
        env={"PYTHONPATH": str(CHECKOUT), "PYTHONWARNINGS": "error", **variables},
        cwd=directory,
        timeout=30,
    )


def call(
    name: str,
    arguments: Sequence[str],
    directory: Path,
    variables: Mapping[str, str],
    text: str | None = None,
) -> Completed:
    """The same without a process: importing what a command uses takes longer than most commands.

    The program's entry function sees the same arguments, directory, variables and standard input, and must
    leave by exiting. Programs that it starts cannot inherit what stands for its output here.
    """
    entry, argv = _entry(name), [name, *arguments]
    output, errors = _stream(), _stream()
    with (
        chdir(directory),
        _environment(variables),
        mock.patch.object(sys, "argv", argv),
        mock.patch.object(sys, "stdin", _stream(text or "")),
        redirect_stdout(output),
        redirect_stderr(errors),
        _logging(errors),
        _descriptor_limit(),
    ):
        status = _status(entry)
    return subprocess.CompletedProcess(argv, status, _content(output), _content(errors))


def _status(entry: Callable[[], object]) -> int:
    try:
        entry()
    except SystemExit as exited:
        assert isinstance(exited.code, int)
        return exited.code
    raise AssertionError("the command has not exited")


@cache
def _entry(name: str) -> Callable[[], object]:
    """What the console script of this name calls."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    module, _, function = project["project"]["scripts"][name].partition(":")
    entry: Callable[[], object] = getattr(importlib.import_module(module), function)
    return entry


def _stream(text: str = "") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8", write_through=True)


def _content(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


@contextmanager
def _logging(errors: io.TextIOWrapper) -> Iterator[None]:
    """Warnings and errors that are logged are seen on standard error, as where nobody configures logging."""
    handler = logging.StreamHandler(errors)
    handler.setLevel(logging.WARNING)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """These variables and no others, and the time zone that they name."""
    try:
        with mock.patch.dict(os.environ, variables, clear=True):
            time.tzset()
            yield
    finally:
        time.tzset()


@contextmanager
def _descriptor_limit() -> Iterator[None]:
    """Operations raise it for their process."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
