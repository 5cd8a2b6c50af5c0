# SPDX-License-Identifier: Apache-2.0
"""kadeploy: install an environment on nodes, and say truthfully for each whether it runs it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from kadeploy.cli import frame
from kadeploy.cli import options as options_of_all
from kadeploy.errors import ExitStatus, UsageError

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
kadeploy --list; kadeploy --resume D-27d177c2-d02a-46cb-b9a2-9c4a0a51939b
    go on where the nodes are held, or where a killed command has left them"""

SECTIONS = {
    "WHERE THE NODES COME FROM": """\
-f and -m; without them the file that OAR_NODE_FILE names, then SLURM_JOB_NODELIST.""",
    "OUTPUT": """\
Standard output has the log (-V chooses how much) and the lists of nodes; with --json only a JSON
document, and the log goes to standard error. On a terminal a table of the nodes is drawn meanwhile.
-V 0 the operation, 1 macro-steps, 2 failures, 3 micro-steps, 4 their times, 5 each node.""",
    "STEPS": """\
--force-steps SetDeploymentEnv|I:N:T[,I:N:T]&BroadcastEnv|I:N:T[,...]&BootNewEnv|I:N:T[,...]
I an instance, N how often it is retried after its first attempt, T seconds of an attempt (0: no limit).
SetDeploymentEnvUntrusted; BroadcastEnvChain (BroadcastEnvKastafior and BroadcastEnvKascade mean it, too),
BroadcastEnvTree, BroadcastEnvHttpPull, BroadcastEnvCustom (where the administrator has given a command);
BootNewEnvClassical, BootNewEnvKexec, BootNewEnvHardReboot.""",
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

# Options that would touch nodes or files.
NOT_SIMULATED = (
    "resume",
    "retry",
    "abandon",
    "dry_run",
    "script",
    "output_ok_nodes",
    "output_ko_nodes",
    "output_known_hosts",
    "write_workflow_id",
)


@click.command(
    cls=frame.Command,
    examples=EXAMPLES,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("-e", "--env-name", metavar="NAME", help="A recorded environment (kaenv -l).")
@click.option("-a", "--env-file", metavar="FILE", help="A description: a path, or an http(s) URL.")
@click.option("-u", "--env-user", metavar="USER", help="Owner of the environment of -e.")
@click.option("--env-version", type=click.IntRange(min=0), metavar="N", help="Version of -e (default: last).")
@frame.node_options
@click.option(
    "-k",
    "--key",
    is_flag=False,
    flag_value="",
    metavar="[FILE]",
    help="Public keys to log in with as root: a path or an http(s) URL (default ~/.ssh/authorized_keys).",
)
@options_of_all.result_options
@click.option(
    "--output-known-hosts",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Host keys read from the good nodes' disks, for ssh -o UserKnownHostsFile=FILE.",
)
@click.option(
    "-p", "--partition-number", "partition", type=click.IntRange(1, 128), metavar="N", help="Target."
)
@click.option(
    "-b", "--block-device", default="", metavar="DEV", help="Disk; without -p all of it (dd images)."
)
@click.option(
    "-r", "--reformat-tmp", default="", metavar="FS", help="Make this file system on the tmp partition."
)
@click.option("--vlan", metavar="ID", help="Not supported yet.")
@click.option("--force-steps", default="", metavar="STEPS", help="Replace the automaton, see STEPS.")
@click.option(
    "--custom-steps",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Add operations, see CUSTOM STEPS.",
)
@click.option(
    "--breakpoint", "holds", multiple=True, metavar="MACRO[:MICRO]", help="Hold the nodes before this step."
)
@click.option(
    "--breakpoint-on-failure", is_flag=True, help="Hold a node where it fails instead of trying it again."
)
@click.option(
    "--hold-time",
    type=click.FloatRange(min=60),
    metavar="SECONDS",
    help="How long held nodes stay reserved (default: a day; of --resume and --retry as before).",
)
@click.option("--resume", metavar="WID", help="Let held nodes, or those of a killed command, go on.")
@click.option("--retry", metavar="WID", help="Redo the failed nodes from the macro-step where each failed.")
@click.option(
    "--from", "start", default="", metavar="MACRO[:MICRO]", help="Where --resume and --retry begin."
)
@click.option("--abandon", metavar="WID", help="Give up the held nodes of a workflow.")
@click.option("--list", "listing", is_flag=True, help="Show held, running and recent workflows.")
@click.option("--no-kexec", is_flag=True, help="Reboot where kexec would have been used.")
@click.option("--disable-disk-partitioning", is_flag=True, help="Keep the partition table.")
@click.option("--disable-bootloader-install", is_flag=True, help="Install no bootloader.")
@click.option("--min-ok", metavar="N|P%", help="Enough nodes for exit status 0.")
@click.option("--stop-at-min-ok", is_flag=True, help="End as soon as --min-ok nodes are deployed.")
@click.option("--deadline", default="", metavar="SECONDS", help="End with what is there then.")
@click.option("--spares", multiple=True, metavar="NODES", help="Nodes that take the places of failed ones.")
@click.option(
    "--simulate",
    is_flag=False,
    flag_value="",
    metavar="[FILE]",
    help="Foretell how it would go, by FILE, by the records, or by defaults; touch nothing.",
)
@click.option(
    "--simulate-nodes",
    type=click.IntRange(1, 20_000),
    metavar="N",
    help="With --simulate: as if there were N nodes like the chosen ones.",
)
@click.option("--seed", type=int, metavar="N", help="With --simulate: other luck (default 0).")
@options_of_all.running_options
def command(**options: Any) -> ExitStatus:
    """Deploy an environment on nodes.

    The nodes are rebooted into a deployment environment that lives in their memory, their disks are
    partitioned and formatted, the image is broadcast through a chain of the nodes and unpacked, adapted by
    post-installs, made bootable and booted. A node counts as good only when the system that was written to
    its disk answers and proves itself by its ssh host key.

    ALL DATA ON THE DISK OF THE NODES ARE LOST.
    """
    asked = [name for name in ("resume", "retry", "abandon", "listing") if options[name]]
    wanted = [name for name in ("env_name", "env_file") if options[name]]
    if len(asked) + len(wanted) != 1:
        raise UsageError(
            "give what to do: one of -e NAME, -a FILE, --resume, --retry, --abandon, --list",
        )
    if (options["resume"] or options["retry"]) and (wrong := _given(KEPT)):
        raise UsageError(
            f"{', '.join(wrong)}: a resumed workflow keeps its key, target, steps and breakpoint",
            hint="give only -m or -f, --from, --force, --hold-time, limits, and where the results go",
        )
    if options["start"] and not (options["resume"] or options["retry"]):
        raise UsageError("--from belongs to --resume and --retry")
    if options["stop_at_min_ok"] and not options["min_ok"]:
        raise UsageError("--stop-at-min-ok needs --min-ok")
    if options["vlan"]:
        raise UsageError("--vlan is not supported yet", hint="deploy in the default VLAN")
    options_of_all.check(options)
    if options["simulate"] is not None:
        return _simulate(options)
    if options["simulate_nodes"] or options["seed"] is not None:
        raise UsageError("--simulate-nodes and --seed belong to --simulate")
    if options["abandon"] or options["listing"]:
        from kadeploy.cli import workflows

        return workflows.carry_out(options)
    from kadeploy.cli import deploy

    return deploy.deploy(options)


def _given(names: Collection[str]) -> list[str]:
    """Those of some options that stand in the command line, whatever their values."""
    context = click.get_current_context()
    given = [name for name in names if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    return [max(option.opts, key=len) for option in context.command.params if option.name in given]


def _simulate(options: dict[str, Any]) -> ExitStatus:
    if wrong := [f"--{name.replace('_', '-')}" for name in NOT_SIMULATED if options[name]]:
        raise UsageError(f"--simulate cannot be had with {', '.join(wrong)}")
    from kadeploy.cli import simulate

    return simulate.simulate(options)


def main() -> None:
    """Entry point of the console script."""
    frame.run(command)
