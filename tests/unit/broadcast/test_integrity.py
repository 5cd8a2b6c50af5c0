# SPDX-License-Identifier: Apache-2.0
"""Who is to blame for damaged data."""

from __future__ import annotations

from kadeploy.broadcast.integrity import Complaints
from kadeploy.broadcast.interface import RelayResult, Trouble

GOOD = RelayResult(received=1000, sha256="00")


def test_who_is_right_about_its_feeder() -> None:
    complaints = Complaints()
    complaints.add("n2", "n1", 0)
    assert complaints.complainers("n1") == {"n2"}
    results = complaints.judge({"n1": GOOD, "n2": GOOD})
    assert results["n2"].ok
    assert results["n1"].trouble is Trouble.DATA
    assert results["n1"].reason == "passed on damaged data: n2 received damaged data from n1 after byte 0"


def test_who_fails_itself_proves_nothing() -> None:
    complaints = Complaints()
    complaints.add("n2", "n1", 0)
    failed = RelayResult(Trouble.DATA, "damaged again")
    assert complaints.judge({"n1": GOOD, "n2": failed}) == {"n1": GOOD, "n2": failed}


def test_proven_complaint_outlasts_who_made_it() -> None:
    """Who was right may leave before there is a verdict on the other; that one, back, is as good as any."""
    complaints = Complaints()
    complaints.add("n2", "n1", 0)
    complaints.judge({"n2": GOOD})
    complaints.forget("n2")
    assert complaints.judge({"n1": GOOD})["n1"].trouble is Trouble.DATA
    complaints.forget("n1")
    assert complaints.judge({"n1": GOOD})["n1"].ok
