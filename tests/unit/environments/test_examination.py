# SPDX-License-Identifier: Apache-2.0
"""What the head can know of image and archives is refused before a node is touched."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from kadeploy.config.server import Environments
from kadeploy.environments import compression as compressions
from kadeploy.environments.cache import FileCache
from kadeploy.environments.compression import Compression
from kadeploy.environments.environment import Archive, Boot, Environment, Image, System
from kadeploy.environments.examination import Examination
from kadeploy.environments.image_content import Layer
from kadeploy.errors import RefusedError
from tests.archives import SCRIPT, write_archive

EXT4 = bytes(1080) + b"\x53\xef" + bytes(4000)
GPT = bytes(510) + b"\x55\xaaEFI PART" + bytes(4000)
MBR = bytes(446) + b"\x80\0\0\0\x83\0\0\0\1\0\0\0\0\x10\0\0" + bytes(48) + b"\x55\xaa" + bytes(4000)


@pytest.fixture
def examination(tmp_path: Path) -> Examination:
    return Examination(FileCache(tmp_path / "cache", 1 << 30), Environments())


def environment(path: Path, kind: str = "tar", **boot: str) -> Environment:
    packed = Compression.ZSTD if path.suffix == ".zst" else Compression.GZIP
    files = Boot(boot.get("kernel", "/vmlinuz"), boot.get("initrd", ""))
    return Environment("mine", "me", System.LINUX, Image(str(path), kind, packed), boot=files)


def tar(*members: tuple[str, str]) -> bytes:
    """A tar archive: of names and contents, of directories (/), and of links (-> target)."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, text in members:
            member = tarfile.TarInfo(name)
            if text == "/":
                member.type = tarfile.DIRTYPE
            elif text.startswith("-> "):
                member.type, member.linkname = tarfile.SYMTYPE, text[3:]
            elif text.startswith("=> "):
                member.type, member.linkname = tarfile.LNKTYPE, text[3:]
            member.size = len(text) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(text.encode()))
    return content.getvalue()


def packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def zipped() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(zipfile.ZipInfo("vmlinuz"), "kernel")
    return content.getvalue()


GOOD = tar(("vmlinuz", "kernel"), ("etc/passwd", "root"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lzma.compress(GOOD), "declared as gzip, but is xz"),
        (b"", "declared as gzip, but is empty"),
        (GOOD, "declared as gzip, but is a tar archive"),
        (zipped(), "declared as gzip, but is a zip archive"),
        (b"<!DOCTYPE html><html>", "declared as gzip, but is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
        (b"\x1f\x8bnothing", "is damaged"),
        (packed(GOOD)[:-5], "is damaged: it ends too early"),
        (packed(GOOD)[:-8] + bytes(8), "is damaged: CRC check failed"),
        (packed(GOOD[:700]), "is damaged: unexpected end of data"),
        (packed(GOOD[:1024] + b"x" * 1024), "is damaged: .* at byte 1024"),
        (packed(EXT4), "declared as a tar archive, but holds an image of a file system"),
        (packed(zipped()), "declared as a tar archive, but holds a zip archive"),
        (packed(packed(GOOD)), "holds compressed with gzip"),
        (packed(b""), "is declared as a tar archive, but holds nothing|is damaged"),
        (packed(tar()), "is an empty archive"),
        (packed(tar(("root/vmlinuz", "k"), ("root/etc/x", "y"))), "in the folder root"),
        (packed(tar(("etc/passwd", "root"))), "has no kernel /vmlinuz"),
        (packed(tar(("vmlinuz", "-> boot/none"))), "has no kernel /vmlinuz"),
        (packed(tar(("vmlinuz", "-> vmlinuz"))), "has no kernel /vmlinuz"),
        (packed(tar(("vmlinuz", "/"))), "has no kernel /vmlinuz"),
    ],
)
async def test_an_image_that_no_node_could_use(
    examination: Examination, tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "image.tgz").write_bytes(content)
    for _ in range(2):  # what was found is not taken for a look that found nothing
        with pytest.raises(RefusedError, match=message):
            await examination.examine(environment(tmp_path / "image.tgz"))


@pytest.mark.parametrize(
    "members",
    [
        [("./vmlinuz", "k")],
        [("/vmlinuz", "k")],
        [("vmlinuz", "-> boot/vmlinuz-6"), ("boot/vmlinuz-6", "k")],
        [("vmlinuz", "-> /boot/vmlinuz"), ("boot", "-> usr/lib/boot"), ("usr/lib/boot/vmlinuz", "k")],
        [("vmlinuz", "-> ../../boot/./k"), ("boot/k", "x")],
        [("boot/k", "x"), ("vmlinuz", "=> boot/k")],
        [("usr", "/"), ("vmlinuz", "k" * 5000)],
        [("boot", "-> usr/boot"), ("vmlinuz", "-> boot/k"), ("usr/boot", "/"), ("boot/k", "x")],
        [("b", "-> usr/b"), ("b/k", "x"), ("vmlinuz", "=> b/k")],
        [("usr/b/k", "x"), ("b", "-> usr/b"), ("vmlinuz", "=> b/k")],
        [("b", "-> c"), ("c", "-> usr/b"), ("b/k", "x"), ("vmlinuz", "-> usr/b/k")],
        [("b", "-> usr/b"), ("b", "/"), ("b/k", "x"), ("vmlinuz", "=> b/k")],
    ],
)
async def test_a_kernel_is_found_through_the_links_of_the_image(
    examination: Examination, tmp_path: Path, members: list[tuple[str, str]]
) -> None:
    (tmp_path / "image.tgz").write_bytes(packed(tar(*members)))
    examined = await examination.examine(environment(tmp_path / "image.tgz"))
    assert examined.content.size == sum(len(text) for _, text in members if text[0] in "kx")


@pytest.mark.parametrize("link", ["/usr/b", "../usr/b"])
async def test_behind_a_link_that_tar_makes_at_the_end_is_no_member(
    examination: Examination, tmp_path: Path, link: str
) -> None:
    members = ("usr/b", "/"), ("b", f"-> {link}"), ("b/k", "x"), ("vmlinuz", "-> usr/b/k")
    (tmp_path / "image.tgz").write_bytes(packed(tar(*members)))
    with pytest.raises(RefusedError, match="has no kernel"):
        await examination.examine(environment(tmp_path / "image.tgz"))


@pytest.mark.parametrize("option", ["--incremental", "--listed-incremental=state"])
async def test_the_names_in_an_incremental_archive(
    examination: Examination, tmp_path: Path, option: str
) -> None:
    (tmp_path / "root/boot").mkdir(parents=True)
    (tmp_path / "root/boot" / ("k" * 200)).write_text("kernel")
    (tmp_path / "root/initrd").write_text("i")
    (tmp_path / "root/vmlinuz").symlink_to("boot/" + "k" * 200)
    argv = ["tar", option, "-czf", "image.tgz", "-C", "root", "."]
    subprocess.run(argv, check=True, timeout=30, cwd=tmp_path)
    wanted = environment(tmp_path / "image.tgz", kernel="/vmlinuz", initrd="/initrd")
    assert (await examination.examine(wanted)).content.size == len("kernel" + "i")


async def test_an_image_to_which_later_steps_may_add_files(examination: Examination, tmp_path: Path) -> None:
    (tmp_path / "i.tgz").write_bytes(packed(tar(("etc/passwd", "x"), ("boot/vmlinuz-6", "x"))))
    for _ in range(2):  # looked into, and remembered
        found = await examination.examine(environment(tmp_path / "i.tgz"), complete=False)
        assert found.content.missing == "has no kernel /vmlinuz"
        with pytest.raises(RefusedError, match="has no kernel /vmlinuz") as caught:
            await examination.examine(environment(tmp_path / "i.tgz"))
        assert "/boot/vmlinuz-6" in caught.value.hint


async def test_an_initrd_that_is_named_otherwise_is_hinted_at(
    examination: Examination, tmp_path: Path
) -> None:
    (tmp_path / "i.tgz").write_bytes(packed(tar(("vmlinuz", "k"), ("boot/initrd.img-6", "i"))))
    with pytest.raises(RefusedError, match="has no initrd /initrd") as caught:
        await examination.examine(environment(tmp_path / "i.tgz", kernel="/vmlinuz", initrd="/initrd"))
    assert "/boot/initrd.img-6" in caught.value.hint


async def test_a_post_install_of_the_environment_may_make_the_kernel(
    examination: Examination, tmp_path: Path
) -> None:
    (tmp_path / "i.tgz").write_bytes(packed(tar(("etc/passwd", "x"))))
    archive = write_archive(tmp_path / "p.tgz", {"install": SCRIPT})
    own = environment(tmp_path / "i.tgz")
    wanted = Archive(str(archive), Compression.GZIP, "install --kernel")
    with pytest.raises(RefusedError, match="has no kernel"):
        await examination.examine(own)
    await examination.examine(
        Environment(own.name, own.owner, own.os, own.image, boot=own.boot, postinstalls=(wanted,))
    )


@pytest.mark.parametrize(
    ("content", "layer"),
    [
        (EXT4, Layer.FILE_SYSTEM),
        (GPT, Layer.DISK),
        (MBR, Layer.DISK),
        (EXT4[:510] + b"\x55\xaa" + EXT4[512:], Layer.UNKNOWN),
        (bytes(100), Layer.UNKNOWN),
    ],
)
async def test_bytes_are_those_of_a_disk_or_of_a_partition(
    examination: Examination, tmp_path: Path, content: bytes, layer: Layer
) -> None:
    (tmp_path / "i.zst").write_bytes(zstandard.compress(content))
    found = (await examination.examine(environment(tmp_path / "i.zst", "dd"))).content
    assert (found.layer, found.size) == (layer, len(content))


async def test_a_tar_archive_is_not_written_to_a_disk(examination: Examination, tmp_path: Path) -> None:
    (tmp_path / "i.tgz").write_bytes(packed(GOOD))
    with pytest.raises(RefusedError, match=r"bytes of a disk .dd., but is a tar archive") as caught:
        await examination.examine(environment(tmp_path / "i.tgz", "dd"))
    assert caught.value.hint == "write 'kind: tar'"


@pytest.mark.parametrize("cut", [1, 4, 2000, 90_000])
async def test_frames_of_zstd_have_their_ends(examination: Examination, tmp_path: Path, cut: int) -> None:
    image = zstandard.compress(tar(("vmlinuz", "k"), ("noise", os.urandom(60_000).hex())))
    skipped = b"\x50\x2a\x4d\x18\x04\0\0\0\x31\x41\x59\x26"
    whole = skipped + image + zstandard.compress(b"")
    (tmp_path / "i.zst").write_bytes(whole)
    await examination.examine(environment(tmp_path / "i.zst"))
    (tmp_path / "i.zst").write_bytes((skipped + image)[: -min(cut, len(image) - 20)])
    with pytest.raises(RefusedError, match="is damaged"):
        await examination.examine(environment(tmp_path / "i.zst"))


async def test_no_more_is_looked_into_than_takes_seconds(
    examination: Examination, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is behind it the nodes find out; the size is one at least."""
    (tmp_path / "i.tgz").write_bytes(packed(tar(("a", "a" * (2 << 20)), ("b", "b" * (2 << 20)))))
    facts = compressions._FACTS[Compression.GZIP]
    little = {name: getattr(facts, name) for name in facts.__slots__} | {"looked_into": 7 << 19}
    monkeypatch.setitem(compressions._FACTS, Compression.GZIP, type(facts)(**little))
    assert (await examination.examine(environment(tmp_path / "i.tgz"))).content.size == 4 << 20


async def test_an_image_is_looked_into_once(
    examination: Examination, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "i.tgz").write_bytes(packed(GOOD))
    before = await examination.examine(environment(tmp_path / "i.tgz"))
    monkeypatch.setattr("kadeploy.environments.examination.unpacking", None)
    assert await examination.examine(environment(tmp_path / "i.tgz")) == before


def windows(text: bytes) -> bytes:
    return text.replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    ("files", "mode", "message"),
    [
        ({"run": SCRIPT}, 0o644, "run of .*p.tgz is not executable"),
        ({"p/run": SCRIPT}, 0o755, "p.tgz has no ./run, which is to be run"),
        ({}, 0o755, "p.tgz has no ./run"),
        ({"run": windows(SCRIPT)}, 0o755, "run of .*p.tgz has line ends of Windows"),
        ({"run": b"\xef\xbb\xbf" + SCRIPT}, 0o755, "begins with a byte order mark"),
        ({"run": SCRIPT.decode().encode("utf-16")}, 0o755, "is UTF-16 text"),
        ({"run": b"#!\n"}, 0o755, "names no interpreter"),
    ],
)
async def test_a_post_install_that_no_node_could_run(
    examination: Examination, tmp_path: Path, files: dict[str, bytes], mode: int, message: str
) -> None:
    write_archive(tmp_path / "p.tgz", files, mode)
    archive = Archive(str(tmp_path / "p.tgz"), Compression.GZIP, "./run --fast")
    with pytest.raises(RefusedError, match=message) as caught:
        await examination.examine_archive(archive, "postinstall")
    assert caught.value.hint
    await examination.examine_archive(Archive(archive.archive, archive.compression), "postinstall")


async def test_a_script_behind_the_link_of_a_directory(examination: Examination, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "p.tgz", "w:gz") as archive:
        link = tarfile.TarInfo("bin")
        link.type, link.linkname = tarfile.SYMTYPE, "usr/bin"
        archive.addfile(link)
        member = tarfile.TarInfo("bin/run")
        member.mode, member.size = 0o755, len(SCRIPT)
        archive.addfile(member, io.BytesIO(SCRIPT))
    archive_of = Archive(str(tmp_path / "p.tgz"), Compression.GZIP, "usr/bin/run")
    _, head = await examination.examine_script_in(archive_of)
    assert head == SCRIPT


@pytest.mark.parametrize("script", [SCRIPT, b"echo text that a shell runs\n", b"\x7fELF\r\n", b""])
async def test_a_post_install_that_can_be_run(
    examination: Examination, tmp_path: Path, script: bytes
) -> None:
    write_archive(tmp_path / "p.tgz", {"./sub/run": script})
    archive = Archive(str(tmp_path / "p.tgz"), Compression.GZIP, "sub/run")
    assert (await examination.examine_archive(archive, "postinstall")).path.parent.name == "images"


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(packed(b"text" * 500)), "must be a tar archive, but holds"),
        (lambda path: path.write_bytes(packed(GOOD)[:-9]), "is damaged"),
        (lambda path: path.write_bytes(b"PK\x03\x04"), "is a zip archive"),
    ],
)
async def test_an_archive_that_is_none(
    examination: Examination, tmp_path: Path, write: Callable[[Path], None], message: str
) -> None:
    write(tmp_path / "p.tgz")
    with pytest.raises(RefusedError, match=message):
        await examination.examine_archive(Archive(str(tmp_path / "p.tgz"), Compression.GZIP), "postinstall")


async def test_names_in_an_archive_draw_nothing_on_a_terminal(
    examination: Examination, tmp_path: Path
) -> None:
    """Nor can they break the store, in which a refusal is kept."""
    (tmp_path / "i.tgz").write_bytes(packed(tar(("\x1b[2J/etc/passwd", "x"), ("\x1b[2J/\udcff", "y"))))
    with pytest.raises(RefusedError, match=r"folder \[2J") as caught:
        await examination.examine(environment(tmp_path / "i.tgz"))
    assert caught.value.message.encode() and caught.value.message.isprintable()
