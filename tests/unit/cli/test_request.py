# SPDX-License-Identifier: Apache-2.0
"""What options become of a request, and what they leave as it was."""

from __future__ import annotations

from kadeploy.cli.request import limits

NONE = {"hold_time": None, "min_ok": None, "stop_at_min_ok": False, "deadline": ""}


def test_only_what_is_given_replaces_what_a_workflow_has() -> None:
    assert limits(NONE, 3) == {}
    assert limits({**NONE, "hold_time": 60.0, "min_ok": "50%"}, 3) == {
        "hold_seconds": 60.0,
        "min_ok": 2,
        "stop_at_min_ok": False,
    }
