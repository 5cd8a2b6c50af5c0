# SPDX-License-Identifier: Apache-2.0
"""Reading a description from a file in either format, and the files that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from kadeploy.environments import source
from kadeploy.environments.description import MAX_BYTES
from kadeploy.errors import FileError, NotFoundError

NEW = """\
name: x
os: linux
image: {file: i.img.gz, kind: dd, compression: gzip}
preinstall: {archive: ../pre.tgz, compression: gzip}
postinstalls:
- {archive: /abs.tgz, compression: gzip}
- {archive: post.tgz, compression: gzip}
"""
OLD = "name : x\ntarball : i.img.gz|ddgz\nfdisktype : 83\nenvironment_kind : linux\n"


@pytest.mark.parametrize("prefix", ["", "local://", "server://"])
async def test_files_are_relative_to_the_description(tmp_path: Path, prefix: str) -> None:
    folder = tmp_path / "descriptions"
    folder.mkdir()
    (folder / "x.yaml").write_text(NEW)
    environment = (await source.load(f"{prefix}{folder}/x.yaml")).environment("alice")
    assert environment.image.file == str(folder / "i.img.gz")
    assert environment.preinstall is not None
    assert environment.preinstall.archive == str(tmp_path / "pre.tgz")
    assert [item.archive for item in environment.postinstalls] == ["/abs.tgz", str(folder / "post.tgz")]


@pytest.mark.parametrize(("text", "version"), [(NEW, 1), (OLD, 0)])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "marked"])
async def test_the_format_is_seen_by_the_content(
    tmp_path: Path, text: str, version: int, mark: bytes
) -> None:
    path = tmp_path / "any.name"
    path.write_bytes(mark + text.encode())
    environment = (await source.load(str(path))).environment("alice")
    assert (environment.name, environment.version) == ("x", version)
    assert environment.image.file == str(tmp_path / "i.img.gz")


async def test_no_more_is_read_than_a_description_may_have(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(FileError, match=f"larger than {MAX_BYTES} bytes"):
        await source.load(str(path))


async def test_a_directory_is_no_description(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="cannot be read: Is a directory"):
        await source.load(str(tmp_path))
