# SPDX-License-Identifier: Apache-2.0
"""--force-steps: Kadeploy3's grammar, its meaning, and its refusals."""

from __future__ import annotations

import pytest

from kadeploy.config.automata import parse_force_steps
from kadeploy.errors import UsageError

# The strings of the Grid'5000 tutorial, as they are written there.
TUTORIAL_SLOW = (
    "SetDeploymentEnv|SetDeploymentEnvUntrusted:1:450&BroadcastEnv|BroadcastEnvKastafior:1:1200"
    "&BootNewEnv|BootNewEnvClassical:1:400"
)
TUTORIAL_KEXEC = (
    "SetDeploymentEnv|SetDeploymentEnvUntrusted:1:450&BroadcastEnv|BroadcastEnvKastafior:1:900"
    "&BootNewEnv|BootNewEnvKexec:1:250"
)


def test_the_tutorials_strings() -> None:
    slow, kexec = parse_force_steps(TUTORIAL_SLOW), parse_force_steps(TUTORIAL_KEXEC)
    assert slow.BroadcastEnv[0].type == "Kastafior" and slow.BroadcastEnv[0].timeout.seconds(1) == 1200
    assert slow.BroadcastEnv[0].retries == 1, "N is the number of retries after the first attempt"
    assert kexec.BootNewEnv[0].type == "Kexec" and kexec.BootNewEnv[0].timeout.seconds(1) == 250


def test_fallbacks_a_trailing_comma_and_the_later_names() -> None:
    steps = parse_force_steps(
        "SetDeploymentMiniOS|SetDeploymentMiniOSUntrusted:0:900&BroadcastEnv|BroadcastEnvChain:0:0,"
        "&BootNewEnv|BootNewEnvKexec:0:100,BootNewEnvHardReboot:2:300"
    )
    assert [instance.type for instance in steps.BootNewEnv] == ["Kexec", "HardReboot"]
    assert steps.SetDeploymentEnv[0].type == "Untrusted" and len(steps.BroadcastEnv) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "wanted the macro-steps"),
        (
            TUTORIAL_SLOW.replace("SetDeploymentEnvUntrusted", "Untrusted"),
            "there are SetDeploymentEnvUntrusted",
        ),
        (
            TUTORIAL_SLOW.replace("BootNewEnvClassical", "BootNewEnvKexek"),
            "BootNewEnvClassical, BootNewEnvKexec",
        ),
        (TUTORIAL_SLOW.replace(":1200", ":a lot"), "two whole numbers"),
        (TUTORIAL_SLOW.replace(":1:1200", ":1200"), "two whole numbers"),
        (TUTORIAL_SLOW.replace(":1200", ":-5"), "two whole numbers"),
        (TUTORIAL_SLOW.replace(":1200", ":99999999"), "more than a week"),
        ("&".join(reversed(TUTORIAL_SLOW.split("&"))), "in this order"),
        (TUTORIAL_SLOW.rpartition("&")[0], "in this order"),
        (TUTORIAL_SLOW + "&Foo|Bar:1:1", "in this order"),
    ],
)
def test_wrong_strings_are_explained(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_force_steps(text)


def test_all_problems_come_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        parse_force_steps(TUTORIAL_SLOW.replace("Untrusted:1", "Trusted:1").replace(":400", ":x"))
    assert caught.value.message.count(";") >= 1
