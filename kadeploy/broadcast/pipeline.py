# SPDX-License-Identifier: Apache-2.0
"""Pipelines as a shell runs them, without values in its text: each word is a positional parameter."""

from __future__ import annotations

from kadeploy.broadcast.interface import Pipeline
from kadeploy.local.ending import describe_ending

SIGPIPE = 128 + 13  # status of a program whose reader had ended


def stages_of(consumer: Pipeline | str) -> list[list[str]]:
    """Commands of a consumer; a path is written by dd, which reports the errors of the disk."""
    if isinstance(consumer, str):
        return [["dd", f"of={consumer}", "bs=1M", "conv=fsync"]]
    return [list(command) for command in consumer]


def shell_function(stages: list[list[str]]) -> str:
    """Shell function ``consume``, which runs the pipeline of its arguments and writes the status of each of
    its stages into files status-001, …, in ``$folder``."""
    commands, first = [], 1
    for number, words in enumerate(stages, 1):
        places = " ".join(f'"${{{place}}}"' for place in range(first, first + len(words)))
        noted = f'status=$?; echo $status >"$folder/status-{number:03}"; (exit $status)'
        commands.append(f"{{ {places}; {noted}; }}")
        first += len(words)
    return f"consume() {{\n    {' | '.join(commands)}\n}}\n"


def failure(stages: list[list[str]], statuses: list[int]) -> str:
    """Find the stage of a pipeline that has failed, and how; '' for none."""
    ended = list(zip(stages, statuses, strict=False))
    # A stage that SIGPIPE ended shows only that the one after it ended first.
    guilty = [(words, status) for words, status in ended if status not in (0, SIGPIPE)] or ended[-1:]
    if not guilty or not guilty[-1][1]:
        return ""
    words, status = guilty[-1]
    return f"{words[0]} {describe_ending(status if status <= 128 else 128 - status)}"
