# SPDX-License-Identifier: Apache-2.0
"""kadeploy: install an environment on nodes, and say truthfully for each whether it runs it."""

from __future__ import annotations

import textwrap
from typing import Any

import click

from kadeploy.cli import program
from kadeploy.cli.deploy_options import DeployOptions, deploy_options
from kadeploy.cli.options import given
from kadeploy.errors import ExitStatus, UsageError
from kadeploy.vocabulary.deployment import MACRO_STEPS

EXAMPLES = """\
kadeploy -e debian12-min -f $OAR_NODE_FILE -k
    deploy on the nodes of an OAR job; log in with the keys of ~/.ssh/authorized_keys
kadeploy -e debian12-min -m node-[1-3] -k ~/.ssh/id_ed25519.pub -o ok -n ko
    the nodes that run it end up in the file ok, the others in ko
kadeploy -a my.yaml -m node-1 --dry-run
    show the steps, their deadlines and what would be erased; touch nothing
kadeploy -e big -f nodes --force-steps "SetDeploymentEnv|SetDeploymentEnvUntrusted:1:450&BroadcastEnv|\
BroadcastEnvChain:1:1200&BootNewEnv|BootNewEnvKexec:0:250,BootNewEnvHardReboot:1:500"
    more time for the broadcast; kexec first, a reboot for nodes where that fails
kadeploy -e debian12-min -m node-1 -k --breakpoint BroadcastEnv:manage_user_post_install
    stop before the user's post-install and look around in the deployment environment
kadeploy -e mine -f nodes -k --breakpoint-on-failure
    leave a node that fails as it is; log in, look, mend it, and let it go on with --resume
kadeploy -e debian12-min -m node-[1-100] --spares node-[101-105] --min-ok 95% --stop-at-min-ok --deadline 720
    95 of 100 nodes within 12 minutes; a spare node for each that fails
kadeploy -e debian12-min -m node-1 --simulate what-if.yaml --simulate-nodes 1000
    how long thousand nodes like node-1 would take, and which timeout or window would stand in the way
kadeploy --list; kadeploy --resume D-27d177c2
    go on where the nodes are held, or where a killed command has left them
kadeploy --retry last; kadeploy --again last
    redo the nodes that failed in your latest workflow; deploy all of them once more
kadeploy --watch D-27d177c2 --json-lines --since 120
    the events of a workflow from number 120 on, as JSON, until it has ended"""


def _list_instances() -> str:
    """Instances of a deployment, a paragraph for each macro-step."""
    lists = [", ".join(instance.summary for instance in macro.instances) for macro in MACRO_STEPS]
    return "\n".join(textwrap.fill(text, 105) for text in lists)


SECTIONS = {
    "WHERE THE NODES COME FROM": """\
-f and -m; without them the file that OAR_NODE_FILE names, then SLURM_JOB_NODELIST.""",
    "WHICH WORKFLOW": """\
WID is the identifier of a workflow, a beginning of it that no other has, or last: your newest one.""",
    "OUTPUT": """\
Standard output has the log (-V chooses how much) and the lists of nodes; with --json only a JSON
document, with --json-lines only events, one JSON object a line, and the log goes to standard error. On a
terminal a table of the nodes is drawn meanwhile.
-V 0 the operation, 1 macro-steps, 2 failures, 3 micro-steps, 4 their times, 5 each node.""",
    "STEPS": """\
--force-steps SetDeploymentEnv|I:N:T[,I:N:T]&BroadcastEnv|I:N:T[,...]&BootNewEnv|I:N:T[,...]
I an instance, N how often it is retried after its first attempt, T seconds of an attempt (0: no limit).
"""
    + _list_instances(),
    "CUSTOM STEPS": """\
The file of --custom-steps maps macro-steps or instances to micro-steps, and these to lists of operations:
pre-ops before the micro-step, post-ops after it, substitute instead of it. They run in the deployment
environment as root, as micro-steps of their own that are called MICRO-NAME.
  BroadcastEnv:
    manage_user_post_install:
      post-ops:
        - {name: motd, action: exec, command: "echo mine > $KADEPLOY_ENV_EXTRACTION_DIR/etc/motd"}
        - {name: keys, action: send, file: ./keys, destination: $KADEPLOY_ENV_EXTRACTION_DIR/root}
        - {name: tune, action: run, file: ./tune.sh, params: "--fast", timeout: 60, retries: 1}""",
}

# Options of a deployment that its workflow keeps when it is resumed.
KEPT = (
    "env_user",
    "env_version",
    "key",
    "partition",
    "block_device",
    "reformat_tmp",
    "force_steps",
    "custom_steps",
    "holds",
    "breakpoint_on_failure",
    "no_kexec",
    "disable_disk_partitioning",
    "disable_bootloader_install",
    "spares",
)

# Options that look at workflows or end them, and plan nothing.
NOT_PLANNED = ("watch", "log", "cancel", "abandon", "listing")

# Options that would touch nodes or files, or that do something else than deploy.
NOT_SIMULATED = (
    "resume",
    "retry",
    "again",
    *NOT_PLANNED,
    "json_lines",
    "dry_run",
    "script",
    "output_ok_nodes",
    "output_ko_nodes",
    "output_known_hosts",
    "write_workflow_id",
)


@click.command(
    cls=program.ProgramCommand,
    examples=EXAMPLES,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@deploy_options
def command(**values: Any) -> ExitStatus:
    """Deploy an environment on nodes.

    The nodes are rebooted into a deployment environment that lives in their memory, their disks are
    partitioned and formatted, the image is broadcast through a chain of the nodes and unpacked, adapted by
    post-installs, made bootable and booted. A node counts as good only when the system that was written to
    its disk answers and proves itself by its ssh host key.

    ALL DATA ON THE DISK OF THE NODES ARE LOST.
    """
    options = DeployOptions(**values)
    _check(options)
    if options.simulate is not None:
        from kadeploy.cli import simulate

        return simulate.simulate(options)
    if options.watch or options.log:
        from kadeploy.cli import watch

        return watch.watch(options)
    if options.abandon or options.cancel or options.listing is not None:
        from kadeploy.cli import workflows

        return workflows.carry_out(options)
    from kadeploy.cli import deploy

    return deploy.deploy(options)


def _check(options: DeployOptions) -> None:
    """Raises UsageError for options that do not go together."""
    asked = [options.env_name, options.env_file, options.resume, options.retry, options.again]
    asked += [options.watch, options.log, options.cancel, options.abandon]
    if sum(map(bool, asked)) + (options.listing is not None) != 1:
        raise UsageError(
            "give what to do: one of -e NAME, -a FILE, --resume, --retry, --again, --watch, --log, "
            "--cancel, --abandon, --list",
        )
    if (options.resumed or options.again) and (wrong := given(KEPT)):
        which, start = ("resumed", "--from, ") if options.resumed else ("repeated", "")
        raise UsageError(
            f"{', '.join(wrong.values())}: a {which} workflow keeps its key, target, steps and breakpoint",
            hint=f"give only -m or -f, {start}--force, --hold-time, limits, and where the results go",
        )
    if options.start and not options.resumed:
        raise UsageError("--from belongs to --resume and --retry")
    if options.since is not None and not (options.watch or options.log):
        raise UsageError("--since belongs to --watch and --log")
    if options.as_json and (wrong := given(("watch", "log", "cancel", "abandon"))):
        hint = "--json-lines prints its events" if options.watch or options.log else ""
        raise UsageError(f"--json cannot be had with {', '.join(wrong.values())}", hint=hint)
    if options.json_lines and (wrong := given(("listing", "cancel", "abandon"))):
        hint = "" if options.listing is None else "--json prints a document"
        raise UsageError(f"--json-lines cannot be had with {', '.join(wrong.values())}", hint=hint)
    if options.dry_run and (wrong := given(NOT_PLANNED)):
        raise UsageError(f"--dry-run cannot be had with {', '.join(wrong.values())}")
    if options.vlan:
        raise UsageError("--vlan is not supported yet", hint="deploy in the default VLAN")
    options.check()
    if options.simulate is None and (options.simulate_nodes or options.seed is not None):
        raise UsageError("--simulate-nodes and --seed belong to --simulate")
    if options.simulate is not None and (wrong := given(NOT_SIMULATED)):
        raise UsageError(f"--simulate cannot be had with {', '.join(wrong.values())}")


def main() -> None:
    """Entry point of the console script."""
    program.run(command)
