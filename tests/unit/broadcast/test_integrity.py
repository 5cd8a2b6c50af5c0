# SPDX-License-Identifier: Apache-2.0
"""Who is to blame for damaged data."""

from __future__ import annotations

from kadeploy.broadcast.integrity import Disputes
from kadeploy.broadcast.interface import RelayResult, Trouble

GOOD = RelayResult(received=1000, sha256="00")


def test_who_is_right_about_its_feeder() -> None:
    disputes = Disputes()
    disputes.add("n2", "n1", 0)
    assert disputes.accusers("n1") == {"n2"}
    results = disputes.judge({"n1": GOOD, "n2": GOOD})
    assert results["n2"].ok
    assert results["n1"].trouble is Trouble.DATA
    assert results["n1"].reason == "passed on damaged data: n2 received damaged data from n1 after byte 0"


def test_who_fails_itself_proves_nothing() -> None:
    disputes = Disputes()
    disputes.add("n2", "n1", 0)
    failed = RelayResult(Trouble.DATA, "damaged again")
    assert disputes.judge({"n1": GOOD, "n2": failed}) == {"n1": GOOD, "n2": failed}


def test_proven_complaint_outlasts_who_made_it() -> None:
    """Who was right may leave before there is a verdict on the other; that one, back, is as good as any."""
    disputes = Disputes()
    disputes.add("n2", "n1", 0)
    disputes.judge({"n2": GOOD})
    disputes.forget("n2")
    assert disputes.judge({"n1": GOOD})["n1"].trouble is Trouble.DATA
    disputes.forget("n1")
    assert disputes.judge({"n1": GOOD})["n1"].ok
