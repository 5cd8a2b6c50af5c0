# SPDX-License-Identifier: Apache-2.0
"""Descriptions in both formats: what they mean, what is wrong with them and where, and their round trip."""

from __future__ import annotations

from pathlib import Path

import pytest

from kadeploy.environments import description, source
from kadeploy.environments.compression import Compression
from kadeploy.environments.environment import Archive, ImagePartition, System, Visibility
from kadeploy.errors import FileError, NotFoundError, RefusedError

DATA = Path(__file__).parents[2] / "data" / "environments"

MINIMAL = "name: x\nos: linux\nimage: {file: /i, kind: dd, compression: gzip}\n"


def places(error: FileError) -> list[str]:
    return [str(problem).removeprefix(f"{DATA}/") for problem in error.problems]


async def test_all_fields_of_a_full_description() -> None:
    environment = (await source.load(str(DATA / "full.yaml"))).environment("alice")

    assert environment.label == "débian12-xen:2024090216"
    assert environment.owner == "alice"
    assert environment.os is System.XEN
    assert environment.visibility is Visibility.SHARED
    assert environment.image.compression is Compression.ZSTD
    assert environment.image.sha256 == "0123456789abcdef" * 4
    assert environment.partition_type == 0x83
    assert environment.preinstall == Archive("server:///archives/pre.tgz", Compression.GZIP, "none")
    assert [archive.script for archive in environment.postinstalls] == ["traitement.ash /rambin", "none"]
    assert environment.boot.hypervisor == "/boot/xen.gz"
    assert environment.custom_variables == {"COLOUR": "red", "COUNT": "3", "EMPTY": ""}


async def test_minimal_description_gets_the_defaults() -> None:
    environment = source.parse(MINIMAL.encode(), "-").environment("alice")

    assert (environment.version, environment.visibility) == (1, Visibility.PRIVATE)
    assert environment.image.kind == "dd"
    assert not environment.multipart


async def test_multipart_image_names_its_partitions() -> None:
    environment = (await source.load(str(DATA / "multipart.yaml"))).environment("alice")

    assert environment.partitions == (ImagePartition(1, "/dev/vda1"), ImagePartition(2, "/dev/vda2"))
    assert (environment.boot.block_device, environment.boot.partition) == ("/dev/vda", 0)
    assert environment.partition_type == 7
    assert environment.image.file == str(DATA / "disk.xz"), "relative to the description"


@pytest.mark.parametrize("name", ["full.yaml", "multipart.yaml", "squeeze.env"])
async def test_what_is_printed_is_read_back_equal(name: str) -> None:
    environment = (await source.load(str(DATA / name))).environment("alice")

    text = description.to_yaml(description.to_mapping(environment))
    again = source.parse(text.encode(), "/elsewhere/printed.yaml")

    assert again.environment("alice") == environment
    assert again.warnings == ()
    assert "alice" not in text
    assert description.from_mapping(description.to_mapping(environment), "alice") == environment


async def test_the_tutorials_env_file() -> None:
    environment = (await source.load(str(DATA / "squeeze.env"))).environment("deploy")

    assert environment.label == "squeeze-x64-base:5"
    assert environment.visibility is Visibility.PUBLIC
    assert environment.image.file.startswith("http://public.orsay")
    assert (environment.image.kind, environment.image.compression) == ("tar", Compression.GZIP)
    assert environment.partition_type == 0x83, "fdisktype is hexadecimal"
    assert environment.postinstalls[0].script == "traitement.ash /rambin"
    assert not environment.destructive
    assert "partition_type: 0x83" in description.to_yaml(description.to_mapping(environment))


async def test_defaults_of_the_old_format() -> None:
    text = "name : x\ntarball : /i|ddbz2\nfdisktype : 7\nenvironment_kind : other\ndemolishing_env : 2\n"
    environment = source.parse(text.encode(), "-").environment("alice")

    assert (environment.version, environment.visibility) == (0, Visibility.SHARED)
    assert environment.destructive


async def test_every_problem_of_a_file_is_told_at_once() -> None:
    with pytest.raises(FileError) as caught:
        await source.load(str(DATA / "wrong.yaml"))

    assert places(caught.value) == [
        "wrong.yaml:1:1: 'filesystem' is missing: a tar image is unpacked into one",
        "wrong.yaml:1:7: name: newlines and control characters are not allowed",
        "wrong.yaml:2:10: version: 'one' is no whole number in decimal digits",
        "wrong.yaml:3:5: os: Input should be 'linux', 'xen' or 'other'",
        "wrong.yaml:7:16: image.compression: Input should be 'gzip', 'bzip2', 'xz' or 'zstd'",
        "wrong.yaml:8:11: image.sha256: String should match pattern '^[0-9a-fA-F]{64}$'",
        "wrong.yaml:10:3: 'boot.block_device' is missing: multipart is true",
        "wrong.yaml:10:3: 'boot.partition' is missing: multipart is true",
        "wrong.yaml:10:11: boot.kernel: must be an absolute path in the image, without '..'",
        "wrong.yaml:11:11: boot.initrd: must be an absolute path in the image, without '..'",
        "wrong.yaml:16:12: partition id 1 is given twice",
        "wrong.yaml:16:23: options.partitions.1.device: String should match pattern "
        "'^/dev/[A-Za-z0-9/_.:-]+$'",
    ]


async def test_every_problem_of_an_old_file_is_told_at_once() -> None:
    with pytest.raises(FileError) as caught:
        await source.load(str(DATA / "wrong.env"))

    assert places(caught.value) == [
        "wrong.env: 'fdisktype' is missing",
        "wrong.env:2:11: tarball: wanted FILE|KIND, KIND one of tgz, tbz2, ddgz, ddbz2",
        "wrong.env:3:1: 'nonsense' is not known",
        "wrong.env:4:11: version: must be a whole number",
        "wrong.env:5:20: environment_kind: Input should be 'linux', 'xen' or 'other'",
        "wrong.env:6:1: 'name' is given twice",
    ]


async def test_what_is_probably_not_meant_is_a_warning() -> None:
    found = await source.load(str(DATA / "warnings.yaml"))

    assert [str(warning).removeprefix(f"{DATA}/") for warning in found.warnings] == [
        "warnings.yaml:2:1: 'colour' is not known and ignored",
        "warnings.yaml:8:3: 'image.md5' is not known and ignored",
        "warnings.yaml:9:26: 'boot.kexec' is not known and ignored",
        "warnings.yaml:11:17: partition_type 83 is 0x53; did you mean 0x83?",
        "warnings.yaml:13:15: several partitions, but multipart is false",
        "warnings.yaml:13:71: 'options.partitions.size' is not known and ignored",
    ]
    assert found.environment("alice").partition_type == 83


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("name: 'de%'", "% not allowed in a name"),
        ("name: -a", "a leading - not allowed"),
        ("name: '  '", "must not be empty"),
        ("name: a:b", ": not allowed in a name"),
        (f"name: {'n' * 256}", "at most 255"),
        ("version: -1", "greater than or equal to 0"),
        ('author: "a\\u001bb"', "control characters"),
        ("visibility: secret", "'private', 'shared' or 'public'"),
        ("filesystem: ext4;reboot", "pattern"),
        ("partition_type: linux", "hexadecimal digits"),
        ("custom_variables: {'A B': 1}", "pattern"),
        ("boot: {block_device: sda}", "pattern"),
        ("image: {file: /i, kind: fsa, compression: gzip}", "FSArchiver"),
        (
            "version: !!python/object/apply:os.system [id]",
            "the tag 'python/object/apply:os.system' is not known here",
        ),
    ],
)
async def test_values_that_are_refused(line: str, message: str) -> None:
    key = line.partition(":")[0]
    kept = [text for text in MINIMAL.splitlines() if not text.startswith(key)]

    with pytest.raises(FileError, match=r"^-:1:") as caught:
        source.parse("\n".join([line, *kept]).encode(), "-")

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"a: [", "not YAML"),
        (b"name: x\n" + b"#" * (1024 * 1024), "larger than"),
        (b"- 1\n- 2\n", "valid dictionary"),
        (b"", "'name' is missing"),
        (b"name: x\nname: y\n", "given twice"),
    ],
)
async def test_content_that_is_no_description(content: bytes, message: str) -> None:
    with pytest.raises(FileError) as caught:
        source.parse(content, "x.yaml")

    assert message in str(caught.value)


async def test_places_from_which_nothing_can_be_read(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="No such file"):
        await source.load(str(tmp_path / "none.yaml"))
    with pytest.raises(RefusedError, match="unknown scheme"):
        await source.load("ftp://192.0.2.1/x.yaml")
