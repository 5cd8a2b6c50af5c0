# SPDX-License-Identifier: Apache-2.0
"""Options of kadeploy, and the typed value that they become."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from kadeploy.cli.options import OperationOptions, declare, node_options, operation_options, result_options

_FILE = click.Path(path_type=Path)

LISTED = 20  # workflows that have ended, where --list has no number

deploy_options = declare(
    click.option("-e", "--env-name", metavar="NAME", help="A recorded environment (kaenv -l)."),
    click.option("-a", "--env-file", metavar="FILE", help="A description: a path, or an http(s) URL."),
    click.option("-u", "--env-user", metavar="USER", help="Owner of the environment of -e."),
    click.option(
        "--env-version", type=click.IntRange(min=0), metavar="N", help="Version of -e (default: last)."
    ),
    node_options,
    click.option(
        "-k",
        "--key",
        is_flag=False,
        flag_value="",
        metavar="[FILE]",
        help="Public keys to log in with as root: a path or an http(s) URL (default ~/.ssh/authorized_keys).",
    ),
    result_options,
    click.option(
        "--output-known-hosts",
        type=_FILE,
        metavar="FILE",
        help="Host keys read from the good nodes' disks, for ssh -o UserKnownHostsFile=FILE.",
    ),
    click.option(
        "-p", "--partition-number", "partition", type=click.IntRange(1, 128), metavar="N", help="Target."
    ),
    click.option(
        "-b", "--block-device", default="", metavar="DEV", help="Disk; without -p all of it (dd images)."
    ),
    click.option(
        "-r", "--reformat-tmp", default="", metavar="FS", help="Make this file system on the tmp partition."
    ),
    click.option("--vlan", metavar="ID", help="Not supported yet."),
    click.option("--force-steps", default="", metavar="STEPS", help="Replace the automaton, see STEPS."),
    click.option(
        "--custom-steps",
        type=_FILE,
        metavar="FILE",
        help="Add operations, see CUSTOM STEPS.",
    ),
    click.option(
        "--breakpoint",
        "holds",
        multiple=True,
        metavar="MACRO[:MICRO]",
        help="Hold the nodes before this step.",
    ),
    click.option(
        "--breakpoint-on-failure", is_flag=True, help="Hold a node where it fails instead of trying it again."
    ),
    click.option(
        "--hold-time",
        type=click.FloatRange(min=60),
        metavar="SECONDS",
        help="How long held nodes stay reserved (default: a day; of --resume and --retry as before).",
    ),
    click.option("--resume", metavar="WID", help="Let held nodes, or those of a killed command, go on."),
    click.option(
        "--retry", metavar="WID", help="Redo the failed nodes from the macro-step where each failed."
    ),
    click.option(
        "--from", "start", default="", metavar="MACRO[:MICRO]", help="Where --resume and --retry begin."
    ),
    click.option("--abandon", metavar="WID", help="Give up the held nodes of a workflow."),
    click.option("--again", metavar="WID", help="Begin once more what a workflow was asked for."),
    click.option("--cancel", metavar="WID", help="End a running workflow; its nodes are aborted."),
    click.option("--watch", metavar="WID", help="Show what happens in a workflow, to its end."),
    click.option("--log", metavar="WID", help="Show what has happened in a workflow until now."),
    click.option(
        "--since",
        type=click.IntRange(min=1),
        metavar="N",
        help="With --watch and --log: from event N on (default: from the first).",
    ),
    click.option(
        "--list",
        "listing",
        type=click.IntRange(min=0),
        is_flag=False,
        flag_value=LISTED,
        metavar="[N]",
        help=f"Show workflows, newest first: all that have not ended, and the latest N ({LISTED}; 0: all).",
    ),
    click.option("--no-kexec", is_flag=True, help="Reboot where kexec would have been used."),
    click.option("--disable-disk-partitioning", is_flag=True, help="Keep the partition table."),
    click.option("--disable-bootloader-install", is_flag=True, help="Install no bootloader."),
    click.option("--min-ok", metavar="N|P%", help="Enough nodes for exit status 0."),
    click.option("--stop-at-min-ok", is_flag=True, help="End as soon as --min-ok nodes are deployed."),
    click.option("--deadline", default="", metavar="SECONDS", help="End with what is there then."),
    click.option(
        "--spares", multiple=True, metavar="NODES", help="Nodes that take the places of failed ones."
    ),
    click.option(
        "--simulate",
        is_flag=False,
        flag_value="",
        metavar="[FILE]",
        help="Foretell how it would go, by FILE, by the records, or by defaults; touch nothing.",
    ),
    click.option(
        "--simulate-nodes",
        type=click.IntRange(1, 20_000),
        metavar="N",
        help="With --simulate: as if there were N nodes like the chosen ones.",
    ),
    click.option("--seed", type=int, metavar="N", help="With --simulate: other luck (default 0)."),
    operation_options,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployOptions(OperationOptions):
    """Options of kadeploy; '' or None for an option that is absent, as each request has it."""

    env_name: str | None
    env_file: str | None
    env_user: str | None
    env_version: int | None
    key: str | None
    partition: int | None
    block_device: str
    reformat_tmp: str
    vlan: str | None
    force_steps: str
    custom_steps: Path | None
    holds: tuple[str, ...]
    breakpoint_on_failure: bool
    hold_time: float | None
    resume: str | None
    retry: str | None
    start: str
    abandon: str | None
    again: str | None
    cancel: str | None
    watch: str | None
    log: str | None
    since: int | None
    listing: int | None
    no_kexec: bool
    disable_disk_partitioning: bool
    disable_bootloader_install: bool
    min_ok: str | None
    stop_at_min_ok: bool
    deadline: str
    spares: tuple[str, ...]
    simulate: str | None
    simulate_nodes: int | None
    seed: int | None

    @property
    def resumed(self) -> str | None:
        """Workflow to go on with, by ``--resume`` or ``--retry``."""
        return self.resume or self.retry
