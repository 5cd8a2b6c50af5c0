# SPDX-License-Identifier: Apache-2.0
"""Custom steps in their own file and in a cluster's: what they mean, and every problem at its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from kadeploy.config.automata import MacroSteps
from kadeploy.config.custom_operations import file_name
from kadeploy.config.custom_steps import CustomSteps
from kadeploy.config.yaml_file import parse_text
from kadeploy.errors import FileError
from kadeploy.vocabulary.names import MACRO_STEP_NAMES

DATA = Path(__file__).parents[2] / "data" / "custom_steps"
# Kadeploy3's own keys and forms, as its documentation has them.
KADEPLOY3 = """\
SetDeploymentEnv:
  format_tmp_part:
    post-ops:
      - {name: mkdirs, action: exec, command: "mkdir -p /mnt/work"}
BroadcastEnvKascade:
  send_key:
    substitute:
      - {name: keys, action: send, file: ./keys, destination: $KADEPLOY_ENV_EXTRACTION_DIR/root/.ssh,
         scattering: tree}
      - {name: fixup, action: run, file: ./fix.sh, timeout: 30, retries: 1}
    override: true
"""


def cases(name: str, model: type[BaseModel]) -> list[Any]:
    found = yaml.safe_load((DATA / name).read_text())
    return [
        pytest.param(model, case["text"], case["problems"], id=f"{name}-{i}") for i, case in enumerate(found)
    ]


@pytest.mark.parametrize(
    ("model", "text", "problems"), [*cases("wrong.yaml", CustomSteps), *cases("automata.yaml", MacroSteps)]
)
def test_all_problems_come_at_once(model: type[BaseModel], text: str, problems: list[str]) -> None:
    with pytest.raises(FileError) as caught:
        parse_text(text, "file", model)
    found = [str(problem).removeprefix("file:") for problem in caught.value.problems]
    assert [line[: len(begin)] for line, begin in zip(found, problems, strict=False)] == problems
    assert len(found) == len(problems), found


def test_a_file_of_kadeploy3() -> None:
    steps = parse_text(KADEPLOY3, "file", CustomSteps)
    [(_, _, mkdirs), (name, micro, lists)] = steps.entries()
    assert mkdirs.post_ops[0].command == "mkdir -p /mnt/work" and not mkdirs.override
    assert (name, micro, lists.override) == ("BroadcastEnvKascade", "send_key", True)
    keys, fixup = lists.operations("substitute")
    assert (keys.action, keys.file, keys.retries) == ("send", "./keys", 0)
    assert (fixup.action, fixup.timeout.seconds(1), fixup.retries) == ("run", 30, 1)
    assert lists.gives("substitute") and not lists.gives("pre-ops")


def test_an_empty_file_changes_nothing() -> None:
    assert list(parse_text("", "file", CustomSteps).entries()) == []


def test_the_macro_steps_are_those_of_the_vocabulary() -> None:
    assert tuple(MacroSteps.model_fields) == MACRO_STEP_NAMES


@pytest.mark.parametrize(
    ("location", "name"),
    [
        ("fix.sh", "fix.sh"),
        ("/a/b?c", "b?c"),
        ("http://host/a/fix.sh?token=a/b#c", "fix.sh"),
        ("server:///etc/motd", "motd"),
    ],
)
def test_names_of_files(location: str, name: str) -> None:
    assert file_name(location) == name
