# SPDX-License-Identifier: Apache-2.0
"""A boot program that a site registers: from server.conf to the files of the repository."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from kadeploy.boot.program import BOOT_PROGRAMS, BootProgram, spell
from kadeploy.boot.repository import BootRepository
from kadeploy.config.clusters import Node
from kadeploy.config.server import ExportKind, NetworkBoot, ProfileName, Profiles
from kadeploy.errors import RefusedError
from tests.unit.registering import register

FILES: dict[str, Any] = {"kernel": "kernels/aa-vmlinuz", "initrd": "kernels/bb-initrd"}


class Petitboot(BootProgram):
    """Boot program of a site: one file for all nodes, whose menu is fetched by TFTP alone."""

    name = "Petitboot"
    protocols = (ExportKind.TFTP,)
    wants_disk_loader = False

    def params_problem(self, params: str) -> str:
        return "kernel parameters must not contain quotes" if '"' in params else ""

    def minios(self, base_url: str, kernel: str, initrd: str, words: Sequence[str]) -> str:
        return f'kernel {base_url}/{kernel}\ninitrd {base_url}/{initrd}\nappend "{" ".join(words)}"\n'

    def local_disk(self, disk_loader: str) -> str:
        return "local\n"

    def refusal(self, reason: str) -> str:
        return f"say {reason}\nrestart\n"

    def profile_directory(self, profiles: Profiles) -> str:
        return f"petitboot/{profiles.directory}"

    def profile_name(self, node: Node, profiles: Profiles) -> str:
        return f"{spell(node, ProfileName.HOSTNAME_SHORT)}.conf"

    def common_files(self, base_url: str, profiles: Profiles, disk_loader: str) -> Mapping[str, str | Path]:
        return {"petitboot/default.conf": self.local_disk(disk_loader), "petitboot/copy": Path(__file__)}


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plug-in is a member until the test has ended."""
    register(monkeypatch, BOOT_PROGRAMS, Petitboot())


def test_a_repository_of_it(make: Callable[..., BootRepository], node: Node) -> None:
    repository = make(method="Petitboot", export={"kind": "tftp"})
    repository.prepare()
    assert (repository.root / "petitboot/default.conf").read_text() == "local\n"
    assert (repository.root / "petitboot/copy").read_bytes() == Path(__file__).read_bytes()
    assert repository.profile_path(node) == "petitboot/profiles/node-1.conf"
    text = repository.minios_profile(**FILES, params="quiet", secret=True)
    assert text.splitlines()[2] == 'append "quiet kadeploy.boot=KADEPLOY-BOOT-SECRET"'
    assert repository.local_disk_profile() == "local\n"
    assert repository.refusal("no\nway") == "say noway\nrestart\n"


def test_parameters_that_it_would_obey(make: Callable[..., BootRepository]) -> None:
    with pytest.raises(RefusedError, match="must not contain quotes"):
        make(method="Petitboot", export={"kind": "tftp"}).minios_profile(**FILES, params='a"b')


def test_a_protocol_that_it_cannot_use_is_refused() -> None:
    with pytest.raises(ValidationError, match="Petitboot fetches kernels by tftp, not by http"):
        NetworkBoot.model_validate({"repository": "boot", "method": "Petitboot"})


def test_an_unknown_program_is_refused_with_the_known_ones() -> None:
    known = r"there is no boot program 'lilo'; there are IPXE, PXElinux, Petitboot"
    with pytest.raises(ValidationError, match=known):
        NetworkBoot.model_validate({"repository": "boot", "method": "lilo"})
