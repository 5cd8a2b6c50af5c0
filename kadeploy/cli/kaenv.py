# SPDX-License-Identifier: Apache-2.0
"""kaenv: record, list, print and change environments."""

from __future__ import annotations

from typing import Any

import click

from kadeploy.cli import program
from kadeploy.cli.environment_options import EnvironmentOptions, environment_options
from kadeploy.errors import ExitStatus, UsageError

EXAMPLES = """\
kaenv -l                               the environments you may use
kaenv -l 'debian%' -u alice            those of alice whose names begin with debian
kaenv -p debian12 -u deploy > my.yaml  a description to start your own from
kaenv -a my.yaml                       record it
kaenv --recompress my                  make zstd of its image, which nodes unpack several times as fast
kaenv --set-visibility-tag my -t shared   let others use it with -u"""


@click.command(
    cls=program.ProgramCommand, examples=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]}
)
@environment_options
def command(**values: Any) -> ExitStatus:
    """Manage the recorded environments.

    Exactly one of -a, -l, -p, -d, --set-visibility-tag, --toggle-destructive-tag, --recompress and the
    --update-…-checksum options says what to do. Descriptions are YAML; the .env files of Kadeploy 3.1 are
    read too. Without -u, changes are made to your own environments, and your own and the public ones are
    read.
    """
    options = EnvironmentOptions(**values)
    _check(options)
    from kadeploy.cli import environment

    return environment.carry_out(options)


def _check(options: EnvironmentOptions) -> None:
    """Raises UsageError for options that do not go together."""
    actions = options.actions
    if len(actions) != 1:
        raise UsageError(
            "nothing to do is given" if not actions else "only one thing can be done at a time",
            hint="give one of -a, -l, -p, -d, --set-visibility-tag, --toggle-destructive-tag, --recompress, "
            "--update-…",
        )
    if (options.visibility_tag is None) != (options.set_visibility_tag is None):
        raise UsageError("--set-visibility-tag and -t belong together")
    if options.all_versions and options.env_version is not None:
        raise UsageError("--all-versions and --env-version exclude each other")
    if options.all_versions and options.recompress is not None:
        raise UsageError("--recompress is for one version", hint="give --env-version N")


def main() -> None:
    """Entry point of the console script."""
    program.run(command)
