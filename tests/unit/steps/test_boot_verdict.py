# SPDX-License-Identifier: Apache-2.0
"""Why a node did not come back: recorded requests and consoles in, the class and the sentence out.

Each directory of tests/data/boots is a case: what was awaited and what answered, with the verdict, in
case.yaml; the log of requests and the console's record where there was one.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kadeploy.boot.requests import BootFileRequest, log_path, requests_of
from kadeploy.remote.handshake import ServerIdentity
from kadeploy.remote.hostkey import Answer, FailedProbe
from kadeploy.steps import console
from kadeploy.steps.boot_verdict import Awaited, BootFacts, BootFile, judge
from kadeploy.steps.evidence import shown
from kadeploy.vocabulary.cause import Cause

CASES = sorted((Path(__file__).parents[2] / "data" / "boots").iterdir())
ADDRESS = "172.31.0.11"
REBOOTED = datetime(2026, 11, 20, 12, 19, tzinfo=UTC)
PROFILE = BootFile("boot profile", "/profiles/172.31.0.11", 86)
KERNEL = BootFile("kernel", "/kernels/1111111111111111-vmlinuz", 8_000_000)
INITRD = BootFile("initrd", "/kernels/2222222222222222-initrd", 60_000_000)


def facts_of(case: Path) -> BootFacts:
    content = yaml.safe_load((case / "case.yaml").read_text())
    awaited, record = Awaited[content["awaited"]], case / "console.log"
    repository = case / "boot"
    logged = log_path(repository).exists()
    return BootFacts(
        awaited=awaited,
        failed_probe=FailedProbe(
            Answer(content["answer"]),
            content["text"],
            ServerIdentity(content["key"], content.get("version", "")),
        ),
        requests=tuple(requests_of(repository, ADDRESS, REBOOTED)) if logged else None,
        files=(PROFILE, KERNEL, INITRD) if awaited is Awaited.MINIOS else (PROFILE,),
        console=console.read(console.text_since(record, 0)) if record.exists() else None,
        minios_key="minios",
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_verdict_on_a_recorded_boot(case: Path) -> None:
    expected = yaml.safe_load((case / "case.yaml").read_text())
    verdict = judge(facts_of(case))
    assert (verdict.cause, verdict.sentence) == (
        expected["cause"],
        f"{expected['sentence']}; {expected['text']}",
    )


def test_every_class_that_a_boot_can_have_is_among_the_cases() -> None:
    causes = {yaml.safe_load((case / "case.yaml").read_text())["cause"] for case in CASES}
    assert causes == {
        *(Cause.FIRMWARE, Cause.NETWORK_BOOT, Cause.KERNEL, Cause.MINIOS),
        *(Cause.BOOTLOADER, Cause.REBOOT, Cause.VERIFICATION),
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_evidence_shows_what_the_verdict_rests_on(case: Path) -> None:
    lines = shown(facts_of(case)).splitlines()
    assert lines and all(line.isprintable() for line in lines)
    assert [line for line in lines if line.startswith("console")]
    assert [line for line in lines if line.startswith("boot files:") or " bytes in " in line]


REQUESTS = st.builds(
    BootFileRequest,
    time=st.just(REBOOTED),
    protocol=st.sampled_from(["http", "tftp"]),
    client=st.just(ADDRESS),
    path=st.sampled_from([PROFILE.path, KERNEL.path, INITRD.path, "/boot.ipxe"]),
    status=st.sampled_from([200, 206, 404, 499]),
    bytes=st.sampled_from([0, 86, 8_000_000, 60_000_000]),
    seconds=st.just(0.1),
    method=st.sampled_from(["GET", "HEAD"]),
)
LINES = st.sampled_from(
    [
        line
        for case in CASES
        if (case / "console.log").exists()
        for line in console.read((case / "console.log").read_text()).lines
    ]
)


@given(
    st.sampled_from(CASES),
    st.none() | st.lists(REQUESTS, max_size=6).map(tuple),
    st.none() | st.lists(LINES, max_size=12),
    st.sampled_from(Answer),
)
def test_any_facts_have_a_verdict(
    case: Path, requests: tuple[BootFileRequest, ...] | None, lines: list[str] | None, answer: Answer
) -> None:
    facts = facts_of(case)
    verdict = judge(
        replace(
            facts,
            requests=requests,
            console=None if lines is None else console.read("\n".join(lines)),
            failed_probe=replace(facts.failed_probe, answer=answer),
        )
    )
    assert verdict.cause in set(Cause)
    assert not verdict.sentence.startswith(";")


def test_what_was_on_the_console_before_the_reboot_is_no_evidence(tmp_path: Path) -> None:
    record = tmp_path / "console.log"
    record.write_text("[    9.1] Kernel panic - not syncing: long ago\n")
    start = console.size(record)
    with record.open("a") as more:
        more.write("GRUB loading.\n")
    assert console.read(console.text_since(record, start)).lines == ("GRUB loading.",)
    record.write_text("new\n")
    assert console.text_since(record, start) == "new\n", "a new file was begun"
    record.write_bytes(b"x" * console.MAX_BYTES + b"\n" + b"y" * 100)
    assert console.text_since(record, 0) == "y" * 100, "half a line may be half a secret"
    record.write_text("Command line: kadeploy.boot=0123abcd quiet\n")
    assert console.read(console.text_since(record, 0)).lines == ("Command line: kadeploy.boot=*** quiet",)
    assert console.size(tmp_path / "nowhere") == 0
