# SPDX-License-Identifier: Apache-2.0
"""What becomes of a node on which the broadcast has failed."""

from __future__ import annotations

import pytest

from kadeploy.broadcast.interface import RelayResult, Trouble
from kadeploy.config.clusters import Node
from kadeploy.steps.broadcast_env import chain_order, relay_failure
from kadeploy.steps.caused_error import CausedError
from kadeploy.vocabulary.cause import Cause


@pytest.mark.parametrize(
    ("trouble", "reason", "evidence", "cause"),
    [
        (Trouble.NODE, "no ssh connection to n1", "", Cause.CONNECTION),
        (Trouble.PEERS, "given up by n2: no sign of life for 3 s", "", Cause.BROADCAST),
        (Trouble.DATA, "received other data: SHA-256 12, expected 34", "", Cause.BROADCAST),
        (Trouble.DATA, "zstd exited with status 1", "Data corruption detected", Cause.BROADCAST),
        (Trouble.CONSUMER, "gzip exited with status 1", "not in gzip format", Cause.ENVIRONMENT),
        (Trouble.CONSUMER, "tar exited with status 2", "tar: a: No space left on device", Cause.DISK),
        (Trouble.CONSUMER, "cannot write /dev/vda4: No space left on device", "", Cause.DISK),
        (Trouble.CONSUMER, "dd exited with status 1", "dd: '/dev/vda4': Input/output error", Cause.DISK),
        (Trouble.IMAGE, "the image's SHA-256 is 12, the environment declares 34", "", Cause.IMAGE),
    ],
)
def test_the_cause_of_a_relay_that_failed(trouble: Trouble, reason: str, evidence: str, cause: Cause) -> None:
    error = relay_failure(RelayResult(trouble, reason, evidence, received=5), 9)
    assert isinstance(error, CausedError)
    assert (error.cause, error.message) == (cause, reason)
    assert error.evidence.splitlines() == ["received 5 of 9 bytes", *evidence.splitlines()]


def test_a_relay_that_did_not_fail() -> None:
    assert relay_failure(RelayResult(received=9, sha256="12"), 9) is None


def test_the_chain_crosses_between_switches_once_and_counts_as_people_do() -> None:
    plan = {"n10": "b", "n2": "b", "n1": "a", "n11": "a", "n3": "b"}
    machines = [Node(name, f"10.0.0.{name[1:]}", "", "red", switch) for name, switch in plan.items()]
    assert [node.name for node in chain_order(machines)] == ["n1", "n11", "n2", "n3", "n10"]


@pytest.mark.parametrize(
    ("trouble", "reason", "lasting"),
    [
        (Trouble.IMAGE, "the image's SHA-256 is 12, the environment declares 34", True),
        (Trouble.CONSUMER, "gzip exited with status 1", True),
        (Trouble.CONSUMER, "tar was killed by signal 9", False),
        (Trouble.CONSUMER, "cannot write /dev/vda4: No space left on device", False),
        (Trouble.DATA, "zstd exited with status 1", False),
        (Trouble.PEERS, "given up by n2", False),
    ],
)
def test_what_would_fail_again_is_lasting(trouble: Trouble, reason: str, lasting: bool) -> None:
    error = relay_failure(RelayResult(trouble, reason), 9)
    assert isinstance(error, CausedError) and error.lasting == lasting
