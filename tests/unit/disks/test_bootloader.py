# SPDX-License-Identifier: Apache-2.0
"""The scripts around kernels and grub, run for real but for grub-install and blkid.

grub-install asks the kernel for a disk's geometry, which files and loop devices do not have; that it boots
is shown by the machines of tests/lab.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kadeploy.disks.bootloader import install_grub_script, kernel_files_script
from kadeploy.disks.tree.image import FAULT
from tests.nightly import examples
from tests.rooted import launcher

UUID = "3f706aed-38a7-4106-bd69-acfe8f70a982"
FAKE_BLKID = f"#!/bin/sh\ncase $* in *PART_ENTRY_UUID*) echo part-uuid ;; *) echo {UUID} ;; esac\n"
FAKE_GRUB = """#!/bin/sh
esp=ESP
for word; do
    case $word in
        --boot-directory=*) boot=${word#*=} ;;
        --efi-directory=*) esp=${word#*=} ;;
        --bootloader-id=*) mkdir -p "$esp/EFI/${word#*=}"; echo loader >"$esp/EFI/${word#*=}/grubx64.efi" ;;
    esac
done
printf '%s ' "$@" | sed "s,$boot,BOOT,; s,$esp,ESP," >>"$KADEPLOY_ENV_EXTRACTION_DIR/../grub-install"
mkdir -p "$boot/grub/i386-pc" "$boot/grub/fonts"
for file in i386-pc/normal.mod fonts/unicode.pf2; do echo installed >"$boot/grub/$file"; done
[ -e "$boot/grub/grubenv" ] || echo installed >"$boot/grub/grubenv"
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """An unpacked image, and where the stand-ins for programs that need a disk are."""

    image: Path
    programs: Path

    def run(self, script: bytes, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self.programs}:/usr/sbin:/usr/bin:/sbin:/bin",
            "KADEPLOY_ENV_EXTRACTION_DIR": str(self.image),
            "KADEPLOY_BLOCK_DEVICE": "/dev/vda",
            "KADEPLOY_DEPLOY_PART": "/dev/vda3",
            "KADEPLOY_DEPLOY_PART_NUM": "3",
            "KADEPLOY_ENV": "debian12",
            "KADEPLOY_ENV_KERNEL": "/vmlinuz",
            "KADEPLOY_ENV_INITRD": "/initrd.img",
            **variables,
        }
        path = self.programs / "script"
        path.write_bytes(script)
        return subprocess.run([*launcher(), "sh", path], env=environment, capture_output=True, text=True)

    def configuration(self, **variables: str) -> str:
        """The grub.cfg that the installation writes."""
        ended = self.run(install_grub_script(), **variables)
        assert ended.returncode == 0, ended.stderr
        return (self.image / "boot/grub/grub.cfg").read_text()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    image, programs = tmp_path / "image", tmp_path / "programs"
    for folder in (image / "boot", programs):
        folder.mkdir(parents=True)
    for name in ("vmlinuz-6.1", "initrd.img-6.1"):
        (image / "boot" / name).write_text("x")
    (image / "vmlinuz").symlink_to("boot/vmlinuz-6.1")
    (image / "initrd.img").symlink_to("/boot/initrd.img-6.1")
    for name, text in (("blkid", FAKE_BLKID), ("grub-install", FAKE_GRUB)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return Machine(image, programs)


def words_of(configuration: str, command: str) -> list[str]:
    """The words of a line of grub.cfg: quotes mean in it what they mean in sh (GRUB manual, Quoting)."""
    lines = [line.strip() for line in configuration.splitlines()]
    (line,) = [line for line in lines if line.startswith(f"{command} ")]
    return shlex.split(line)[1:]


@pytest.mark.needs("shellcheck")
@pytest.mark.parametrize("script", [install_grub_script(), kernel_files_script()], ids=["grub", "kernel"])
def test_scripts_pass_shellcheck(script: bytes) -> None:
    subprocess.run(["shellcheck", "-"], input=script, check=True)


def test_links_are_followed_inside_the_image(machine: Machine) -> None:
    ended = machine.run(kernel_files_script())
    assert ended.stdout == f"{machine.image}/boot/vmlinuz-6.1\n{machine.image}/boot/initrd.img-6.1\n"


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("a", "../../../boot/vmlinuz-6.1"),
        ("a", "//boot/./../boot//vmlinuz-6.1"),
        ("boot/a", "vmlinuz-6.1"),
        ("boot/a", "../vmlinuz"),
        ("a", "/vmlinuz"),
    ],
)
def test_no_link_leads_out_of_the_image(machine: Machine, link: str, target: str) -> None:
    (machine.image / link).symlink_to(target)
    ended = machine.run(kernel_files_script(), KADEPLOY_ENV_KERNEL=f"/{link}", KADEPLOY_ENV_INITRD="")
    assert ended.stdout == f"{machine.image}/boot/vmlinuz-6.1\n\n"


def test_links_of_directories_are_followed(machine: Machine) -> None:
    (machine.image / "efi").symlink_to("/boot")
    ended = machine.run(kernel_files_script(), KADEPLOY_ENV_KERNEL="/efi/vmlinuz-6.1")
    assert ended.stdout.splitlines()[0] == f"{machine.image}/boot/vmlinuz-6.1"


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"KADEPLOY_ENV_KERNEL": "/missing"}, "the image has no kernel /missing"),
        ({"KADEPLOY_ENV_INITRD": "/boot"}, "the image has no initrd /boot"),
        ({"KADEPLOY_ENV_KERNEL": "/loop"}, "/loop of the image is a loop of symbolic links"),
        (
            {"KADEPLOY_ENV_KERNEL": "/it's"},
            "the name of the kernel /it's has a quote or control character in it",
        ),
        (
            {"KADEPLOY_ENV_KERNEL": "/a\nb"},
            "the name of the kernel /a\nb has a quote or control character in it",
        ),
    ],
)
@pytest.mark.parametrize("script", [install_grub_script(), kernel_files_script()], ids=["grub", "kernel"])
def test_unusable_files_are_named(
    machine: Machine, script: bytes, variables: dict[str, str], complaint: str
) -> None:
    (machine.image / "loop").symlink_to("loop")
    for name in ("it's", "a\nb"):
        (machine.image / name).write_text("x")
    ended = machine.run(script, **variables)
    assert (ended.returncode, ended.stderr) == (FAULT, complaint + "\n")
    assert not (machine.image / "boot/grub/grub.cfg").exists()


def test_the_configuration_boots_the_environment(machine: Machine) -> None:
    parameters = "console=tty0 console=ttyS1,115200n8 quiet"
    assert machine.configuration(KADEPLOY_ENV_KERNEL_PARAMS=parameters) == (
        f"""serial --unit=1 --speed=115200
terminal_input serial console
terminal_output serial console
set default=0
set timeout=0
search --no-floppy --fs-uuid --set=root {UUID}
menuentry 'debian12' {{
    linux '/boot/vmlinuz-6.1' 'root=UUID={UUID}' 'console=tty0' 'console=ttyS1,115200n8' 'quiet'
    initrd '/boot/initrd.img-6.1'
}}
"""
    )
    called = (machine.image.parent / "grub-install").read_text()
    assert called == "--target=i386-pc --boot-directory=BOOT --no-floppy /dev/vda "


def test_without_initrd_the_root_is_a_partition(machine: Machine) -> None:
    configuration = machine.configuration(KADEPLOY_ENV_INITRD="")
    assert words_of(configuration, "linux")[1:] == ["root=PARTUUID=part-uuid"]
    assert "initrd" not in configuration
    assert "serial" not in configuration


def test_a_root_of_the_environment_is_kept(machine: Machine) -> None:
    configuration = machine.configuration(KADEPLOY_ENV_KERNEL_PARAMS="quiet root=/dev/md0")
    assert words_of(configuration, "linux")[1:] == ["quiet", "root=/dev/md0"]


def test_a_hypervisor_is_refused(machine: Machine) -> None:
    ended = machine.run(install_grub_script(), KADEPLOY_ENV_HYPERVISOR="/xen.gz")
    assert ended.returncode == 1
    assert "hypervisor" in ended.stderr


@pytest.mark.parametrize(
    ("path", "target", "found"),
    [
        ("boot", "/data/boot", "data/boot/grub"),
        ("boot/grub", "/data/grub2", "data/grub2"),
        ("boot/grub", "../../../data/grub", "data/grub"),
        ("boot/grub", "grub2", "boot/grub2"),
    ],
)
def test_grub_is_installed_where_links_lead_in_the_image(
    machine: Machine, path: str, target: str, found: str
) -> None:
    (machine.image / "data").mkdir()
    if path == "boot":
        (machine.image / "boot").rename(machine.image / "data/boot")
    (machine.image / path).symlink_to(target)
    variables = {"KADEPLOY_ENV_KERNEL": "/vmlinuz", "KADEPLOY_ENV_INITRD": ""}
    assert machine.run(install_grub_script(), **variables).returncode == 0
    assert "vmlinuz-6.1" in (machine.image / found / "grub.cfg").read_text()
    assert (machine.image / found / "i386-pc/normal.mod").read_text() == "installed\n"


def test_the_installation_writes_through_no_link_of_the_directory(machine: Machine, tmp_path: Path) -> None:
    grub, modules = machine.image / "boot/grub", machine.image / "usr/lib/grub/i386-pc"
    for folder in (grub / "fonts", grub / "i386-pc", modules):
        folder.mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.write_text("of the miniOS")
    for name in ("grubenv", "grub.cfg", "fonts/unicode.pf2"):
        (grub / name).symlink_to(outside)
    (modules / "normal.mod").write_text("of the image")
    (grub / "i386-pc/normal.mod").hardlink_to(modules / "normal.mod")
    os.mkfifo(grub / "pipe")
    assert "vmlinuz-6.1" in machine.configuration()
    assert outside.read_text() == "of the miniOS"
    assert (modules / "normal.mod").read_text() == "of the image"
    assert (grub / "i386-pc/normal.mod").read_text() == "installed\n"


def kernel_words(parameters: str) -> list[str]:
    """How the kernel divides its command line (lib/cmdline.c, next_arg): only double quotes hold together."""
    words, word, inside, some = [], "", False, False
    for character in parameters:
        if character == '"':
            inside, some = not inside, some
        elif character == " " and not inside:
            if some:
                words.append(word)
            word, some = "", False
        else:
            word, some = word + character, True
    return [*words, word] if some else words


@given(
    parameters=st.text(st.sampled_from("ab=,;{}#$`'\"\\&|<>!*~ é\n\t"), max_size=40),
    name=st.text(st.sampled_from("a'\"\\ ;}{$\n"), max_size=12),
)
@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_leaves_its_quotes(machine: Machine, parameters: str, name: str) -> None:
    configuration = machine.configuration(KADEPLOY_ENV_KERNEL_PARAMS=parameters, KADEPLOY_ENV=name)
    plain = parameters.replace("\n", " ").replace("\t", " ")
    assert words_of(configuration, "linux")[2:] == kernel_words(plain)
    if shutil.which("grub-script-check"):
        subprocess.run(
            ["grub-script-check", machine.image / "boot/grub/grub.cfg"], check=True, capture_output=True
        )
