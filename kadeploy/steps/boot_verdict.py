# SPDX-License-Identifier: Apache-2.0
"""Verdict on a node that did not come back from a reboot, by the facts that were gathered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from kadeploy.boot.requests import BootFileRequest
from kadeploy.remote.handshake import ServerIdentity
from kadeploy.remote.hostkey import Answer, FailedProbe
from kadeploy.steps.console import Mishap, Reading, Stage
from kadeploy.vocabulary.cause import Cause

DELIVERED = 200
BANNER = "kadeploy-miniOS"  # what the sshd of the miniOS calls itself; environments/deploy-env: sshd_config


class Awaited(Enum):
    """System that the node was to boot, and its way."""

    MINIOS = "the miniOS, from the network"
    DISK = "the deployed system, through its firmware"
    KEXEC = "the deployed system, without its firmware"


@dataclass(frozen=True, slots=True)
class BootFile:
    """File that the node is to fetch: its path in the log of requests, and its bytes (0: not known)."""

    name: str
    path: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class BootFacts:
    """Facts of a boot since the reboot was ordered.

    ``requests`` is None if they are not logged, ``console`` None if it is not recorded. ``files`` are the
    node's profile and, for the miniOS, its kernel and initrd, in the order in which they are fetched.
    ``departures`` tell each time that the awaited system answered and did not go on.
    """

    awaited: Awaited
    failed_probe: FailedProbe
    requests: tuple[BootFileRequest, ...] | None
    files: tuple[BootFile, ...]
    console: Reading | None
    minios_key: str
    departures: tuple[str, ...] = ()

    @property
    def minios_answers(self) -> bool:
        """True if it is the miniOS that answers, or something that calls itself so."""
        return self.answers and is_minios(self.failed_probe.identity, self.minios_key)

    @property
    def never_asked(self) -> bool:
        """True if requests are logged, and there was none."""
        return self.requests == ()

    @property
    def answers(self) -> bool:
        """True if some system answers, though not the one that is awaited."""
        return self.failed_probe.answer is not Answer.NONE

    @property
    def stage(self) -> Stage:
        return self.console.stage if self.console else Stage.NOTHING

    def mishap(self, *kinds: Mishap) -> str:
        """Line of the console with the first of these mishaps, without full stop, or ''."""
        seen = self.console.mishaps if self.console else {}
        return next((seen[kind].rstrip(".") for kind in kinds if kind in seen), "")

    @property
    def lacking(self) -> str:
        """Sentence on the first file that was not delivered, or ''; a later file proves the earlier ones.

        A file that a HEAD has found counts as delivered if the node went on behind it.
        """
        missing, went_on = "", False
        for file in reversed(self.files):
            own = [request for request in self.requests or () if request.path == file.path]
            if any(_is_delivery(request, file) for request in own):
                break
            if not (went_on and _was_found(own)):
                missing = _lack(file, own)
            went_on = went_on or bool(own)
        return missing


@dataclass(frozen=True, slots=True)
class Verdict:
    """Verdict: the class of the cause, and one sentence without its full stop."""

    cause: Cause
    sentence: str


def is_minios(identity: ServerIdentity, key: str) -> bool:
    """True for an sshd with the key of the last miniOS, or that calls itself one: evidence, and no proof."""
    return BANNER in identity.version or (bool(key) and identity.key == key)


def judge(facts: BootFacts) -> Verdict:
    """Judge a node that was waited for in vain."""
    if facts.departures or facts.failed_probe.answer is Answer.UNSETTLED:
        verdict = _judge_unsettled(facts)
    elif facts.awaited is Awaited.MINIOS:
        verdict = _judge_minios(facts)
    else:
        verdict = _judge_deployed(facts)
    return Verdict(verdict.cause, f"{verdict.sentence}; {facts.failed_probe}")


def _judge_unsettled(facts: BootFacts) -> Verdict:
    """Judge a node whose system has answered, with the right key, but has not gone on for long enough."""
    in_minios = facts.awaited is Awaited.MINIOS
    system = "the miniOS" if in_minios else "the system on its disk"
    if not facts.departures:
        return Verdict(Cause.REBOOT, f"{system} came too late")
    times = f" {len(facts.departures)} times" if len(facts.departures) > 1 else ""
    deliveries = sum(_is_delivery(request, facts.files[0]) for request in facts.requests or ())
    restarted = "; it has restarted since" if deliveries > 1 else ""
    sentence = f"{system} has answered{times}, but {facts.departures[-1]}{restarted}"
    if panic := facts.mishap(Mishap.PANIC):
        return Verdict(Cause.KERNEL, f"{sentence}; its kernel panicked: {panic}")
    return Verdict(Cause.MINIOS if in_minios else Cause.ENVIRONMENT, sentence)


# The miniOS -------------------------------------------------------------------------------------------


def _judge_minios(facts: BootFacts) -> Verdict:
    if facts.never_asked:
        return _judge_firmware(facts)
    if facts.requests is not None and facts.lacking:
        return Verdict(Cause.NETWORK_BOOT, facts.lacking)
    if panic := facts.mishap(Mishap.PANIC):
        return Verdict(Cause.KERNEL, f"the miniOS' kernel panicked: {panic}")
    if facts.stage >= Stage.INITRAMFS or (facts.requests and facts.answers):
        return Verdict(Cause.MINIOS, "the miniOS was started, but does not answer as it should")
    if facts.stage is Stage.KERNEL:
        return Verdict(Cause.KERNEL, "the miniOS' kernel was started, but its init was not")
    if facts.requests is None:
        return _judge_unlogged(facts)
    again = _repetitions(facts)
    if facts.console is None:
        return Verdict(Cause.KERNEL, f"kernel and initrd were delivered{again}, but nothing comes of them")
    return Verdict(
        Cause.KERNEL, f"kernel and initrd were delivered{again}, but its console shows nothing of a kernel"
    )


def _judge_firmware(facts: BootFacts) -> Verdict:
    """Judge a node that has asked for no boot file."""
    if facts.minios_answers or (facts.answers and _shows_no_boot(facts.console)):
        return Verdict(Cause.REBOOT, "it was not rebooted: it has asked for no boot file since")
    if line := facts.mishap(Mishap.NO_FILE):
        return Verdict(
            Cause.NETWORK_BOOT, f"none of its requests for boot files has come, and its console says: {line}"
        )
    asked = "it has asked for no boot file since its reboot"
    if line := facts.mishap(Mishap.NO_OFFER, Mishap.NOTHING_TO_BOOT):
        return Verdict(Cause.FIRMWARE, f"{asked}, and its console says: {line}")
    if facts.answers:
        return Verdict(Cause.FIRMWARE, f"{asked}: it was not rebooted, or has booted its disk")
    return Verdict(Cause.FIRMWARE, asked)


def _judge_unlogged(facts: BootFacts) -> Verdict:
    """Judge a node whose requests are not logged, and whose console shows no kernel."""
    if line := facts.mishap(Mishap.NO_FILE):
        return Verdict(Cause.NETWORK_BOOT, f"its console says: {line}")
    if line := facts.mishap(Mishap.NO_OFFER, Mishap.NOTHING_TO_BOOT):
        return Verdict(Cause.FIRMWARE, f"its console says: {line}")
    if facts.stage is Stage.FIRMWARE:
        return Verdict(Cause.FIRMWARE, "its console shows nothing beyond its firmware")
    return Verdict(Cause.REBOOT, "nothing is known of its boot: no boot file is logged on this machine")


def _shows_no_boot(console: Reading | None) -> bool:
    """True if the recorded console shows no boot: lines of a system that runs on, as of sshd, are none."""
    return console is not None and not console.began and console.stage is Stage.NOTHING


def _repetitions(facts: BootFacts) -> str:
    times = sum(_is_delivery(request, facts.files[-1]) for request in facts.requests or ())
    return f" {times} times, for it restarts again and again" if times > 1 else ""


# The deployed system ----------------------------------------------------------------------------------


def _judge_deployed(facts: BootFacts) -> Verdict:
    if facts.failed_probe.answer is Answer.OTHER_KEY:
        return _judge_other_system(facts)
    if line := facts.mishap(Mishap.NO_ROOT):
        return Verdict(Cause.KERNEL, f"its kernel did not find its root: {line}")
    if line := facts.mishap(Mishap.PANIC):
        return Verdict(Cause.KERNEL, f"its kernel panicked: {line}")
    if facts.stage < Stage.KERNEL and (line := facts.mishap(Mishap.BOOTLOADER)):
        return Verdict(Cause.BOOTLOADER, f"its bootloader failed: {line}")
    if facts.stage is Stage.SYSTEM or facts.answers:
        return Verdict(Cause.REBOOT, "the system on its disk was started, but its sshd does not answer")
    if facts.stage >= Stage.KERNEL:
        return Verdict(Cause.KERNEL, "its kernel was started, but the system on its disk was not")
    if facts.awaited is Awaited.KEXEC:
        return _judge_kexec(facts)
    return _judge_disk_boot(facts)


def _judge_other_system(facts: BootFacts) -> Verdict:
    if not facts.minios_answers:
        return Verdict(Cause.VERIFICATION, "the node runs another system than the one on its disk")
    if facts.requests:
        return Verdict(Cause.REBOOT, "it has booted the miniOS again, not its disk")
    return Verdict(Cause.REBOOT, "it has never left the miniOS")


def _judge_kexec(facts: BootFacts) -> Verdict:
    if facts.requests:
        return Verdict(Cause.KERNEL, "it went through its firmware: the kernel that kexec started is dead")
    shown = " and shows nothing of itself on the console" if facts.console else ""
    return Verdict(Cause.KERNEL, f"the kernel that kexec started does not come up{shown}")


def _judge_disk_boot(facts: BootFacts) -> Verdict:
    if facts.never_asked and facts.stage < Stage.BOOTLOADER:
        return _judge_firmware(facts)
    if facts.stage is Stage.BOOTLOADER:
        return Verdict(Cause.BOOTLOADER, "its bootloader was started, but starts no kernel")
    if line := facts.mishap(Mishap.NOTHING_TO_BOOT):
        return Verdict(Cause.BOOTLOADER, f"its firmware finds nothing to boot on its disk: {line}")
    if facts.requests and facts.lacking:
        return Verdict(Cause.NETWORK_BOOT, facts.lacking)
    told = "it has fetched the profile that boots its disk, " if facts.requests else ""
    if facts.console is None:
        return Verdict(Cause.REBOOT, f"{told}and has not come back" if told else "it has not come back")
    return Verdict(Cause.BOOTLOADER, f"{told}but its console shows neither a bootloader nor a kernel")


# Files ------------------------------------------------------------------------------------------------


def _lack(file: BootFile, own: Sequence[BootFileRequest]) -> str:
    """Sentence on the part of a file that was not delivered, by the requests for it."""
    if not own:
        return f"it has asked for boot files, but not for its {file.name}"
    if _was_found(own):
        return f"it has asked whether its {file.name} is there, but has not fetched it"
    last = max(own, key=lambda request: request.bytes)
    if last.bytes:
        whole = f" of {file.size}" if file.size else ""
        return f"it got only {last.bytes}{whole} bytes of its {file.name}"
    return f"it got nothing of its {file.name}: {last.protocol} status {own[-1].status}"


def _is_delivery(request: BootFileRequest, file: BootFile) -> bool:
    """True if the whole file was fetched; a HEAD has none of its content."""
    own = request.path == file.path and request.fetches
    return own and request.status == DELIVERED and request.bytes >= file.size


def _was_found(own: Sequence[BootFileRequest]) -> bool:
    """True if the node has only asked for the existence of a file that exists."""
    return bool(own) and own[-1].status == DELIVERED and not any(request.fetches for request in own)
