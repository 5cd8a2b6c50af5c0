# SPDX-License-Identifier: Apache-2.0
"""Finding the server that a command asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from kadeploy.client import finding
from kadeploy.client.finding import find_server
from kadeploy.errors import FileError, UsageError

FILE = """\
default: near
servers:
  - {name: near, socket: /run/near.sock}
  - {name: far, socket: /run/far.sock}
"""


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("KADEPLOY_SERVER", raising=False)
    monkeypatch.setenv("KADEPLOY_CONFIG_DIR", str(tmp_path))
    return tmp_path


def found(named: str | None = None, *, embedded: bool = False) -> str | None:
    path = find_server(named, embedded=embedded)
    return None if path is None else str(path)


def test_the_first_that_is_there_counts(configuration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found() is None
    (configuration / "client.conf").write_text(FILE)
    assert found() == "/run/near.sock"
    monkeypatch.setenv("KADEPLOY_SERVER", "far")
    assert found() == "/run/far.sock"
    assert found("near") == "/run/near.sock"
    assert found("./x") == "x"
    assert found("unix:x") == "x"
    assert found(embedded=True) is None


def test_the_socket_of_this_machine_is_asked_where_no_configuration_is_named(
    configuration: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    socket = tmp_path / "kadeploy.sock"
    monkeypatch.setattr(finding, "SOCKET", socket)
    socket.touch()
    assert found() is None  # the site of that directory is meant
    monkeypatch.delenv("KADEPLOY_CONFIG_DIR")
    assert found() == str(socket)
    socket.unlink()
    assert found() is None


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("middle", "server middle is unknown"),
        ("https://far:25300", "servers of other machines are not supported yet"),
    ],
)
def test_others_are_refused(configuration: Path, named: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        found(named)
    (configuration / "client.conf").write_text(FILE)
    with pytest.raises(UsageError, match=message):
        found(named)
    with pytest.raises(UsageError, match="exclude each other"):
        found("near", embedded=True)


def test_a_file_without_a_default_names_none(configuration: Path) -> None:
    (configuration / "client.conf").write_text(FILE.replace("default: near\n", ""))
    assert found() is None
    (configuration / "client.conf").write_text(FILE.replace("default: near", "default: next"))
    with pytest.raises(FileError, match="there is no server next"):
        found()
