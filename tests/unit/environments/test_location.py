# SPDX-License-Identifier: Apache-2.0
"""Where the files of environments are."""

from __future__ import annotations

from pathlib import Path

import pytest

from kadeploy.environments.location import is_http, local_path, resolve
from kadeploy.errors import RefusedError


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/srv/i.tgz", "/srv/i.tgz"),
        ("local:///srv/i.tgz", "/srv/i.tgz"),
        ("server:///srv/i.tgz", "/srv/i.tgz"),
        ("server://srv/i.tgz", "/srv/i.tgz"),
        ("server:////srv//i.tgz", "/srv/i.tgz"),
        ("i.tgz", "i.tgz"),
        ("a:b/i.tgz", "a:b/i.tgz"),
    ],
)
def test_files_of_this_machine(uri: str, path: str) -> None:
    assert local_path(uri) == Path(path)
    assert not is_http(uri)


@pytest.mark.parametrize("uri", ["ftp://x/i.tgz", "file:///i.tgz", "://i.tgz", "HTTP://x/i.tgz"])
def test_schemes_that_are_not_known(uri: str) -> None:
    with pytest.raises(RefusedError, match="has an unknown scheme") as caught:
        local_path(uri)
    assert "server:///path" in caught.value.hint


@pytest.mark.parametrize(
    ("uri", "origin", "place"),
    [
        ("i.tgz", "/srv/env/x.yaml", "/srv/env/i.tgz"),
        ("../i.tgz", "/srv/env/x.yaml", "/srv/i.tgz"),
        ("i.tgz", "server:///srv/env/x.yaml", "/srv/env/i.tgz"),
        ("../i.tgz", "local:///srv/env/x.yaml", "/srv/i.tgz"),
        ("/i.tgz", "/srv/env/x.yaml", "/i.tgz"),
        ("server:///i.tgz", "/srv/env/x.yaml", "server:///i.tgz"),
        ("http://a/i.tgz", "/srv/env/x.yaml", "http://a/i.tgz"),
        ("i.tgz", "http://a/env/x.yaml", "http://a/env/i.tgz"),
        ("../i.tgz", "https://a/env/x.yaml?v=2", "https://a/i.tgz"),
        ("/i.tgz", "http://a/env/x.yaml", "/i.tgz"),
    ],
)
def test_files_are_named_relative_to_their_description(uri: str, origin: str, place: str) -> None:
    assert resolve(uri, origin) == place


def test_relative_to_the_working_directory_and_to_a_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/alice")
    assert resolve("i.tgz", "-") == resolve("i.tgz", "x.yaml") == str(tmp_path.resolve() / "i.tgz")
    assert resolve("~/i.tgz", "/srv/x.yaml") == "/home/alice/i.tgz"
    assert resolve("~/i.tgz", "http://a/x.yaml") == "http://a/~/i.tgz"
