# SPDX-License-Identifier: Apache-2.0
"""kacast: copy a file to many hosts at once by the user's own ssh, as deployments do it with images."""

from __future__ import annotations

from typing import Any

import click

from kadeploy.cli import program
from kadeploy.cli.cast_options import CastOptions, cast_options
from kadeploy.errors import ExitStatus, UsageError

EXAMPLES = """\
kacast data.tar.zst -m node-[1-40] -- tar --zstd -xf - -C /srv
    unpack an archive on forty hosts; nothing is stored on the way
kacast model.bin -f hosts --to /data/model.bin -o ok -n ko
    the file itself; it appears whole and checked, or not at all
pg_dump shop | gzip | kacast - -m db-[2-5] -l postgres -- sh -c 'gunzip | psql shop'
    what a program prints; a shell on the hosts only because the command asks for one
kacast disk.img.zst -m node-[1-9] -l root -- sh -c 'zstd -dc | dd of=/dev/sdb bs=1M conv=fsync'
    onto a disk"""

SECTIONS = {
    "WHAT HAPPENS": """\
The hosts are logged into by ssh, in the order in which they are given, each once. This machine sends FILE to
the first, which sends it to the second while it takes it, and so on: the time hardly depends on their number.
A host that dies or hangs is skipped. Each host hashes what arrived; a wrong SHA-256 is a failure. Interrupted
by Ctrl-C, or broken off in any other way, kacast leaves no process on any host, and with --to no file.""",
    "COMMAND": """\
Is run on each host as it stands here, word by word, with FILE on its standard input. There is no shell, so *,
$, | and > mean nothing to it; who wants one writes sh -c '…'. What it prints is shown where it fails. It
gets the data in pieces of 256 KiB, each once it is checked, but begins before the last of them has come.""",
    "HOSTS NEED": """\
An ssh server that your keys open, /bin/sh, and Python 3.11 or later (python3-minimal will do); a host that
has none fetches FILE over HTTP when the others have it, with curl or a wget. They must reach each other and
this machine by TCP on ports that the kernel chooses. Peers authenticate each other when they connect, but the
stream is not encrypted: encrypt a secret file, or do not send it through a network of others.""",
    "ENVIRONMENT": """\
OAR_NODE_FILE, SLURM_JOB_NODELIST  the hosts, where neither -m nor -f is given
SSH_AUTH_SOCK                      your agent
TMPDIR                             where standard input is kept until the end, instead of /tmp
KADEPLOY_DEBUG                     when set, unexpected errors come with their traceback""",
    "FILES": """\
~/.ssh/config, /etc/ssh/ssh_config   Host, HostName, User, Port, IdentityFile, ProxyJump and others
~/.ssh/known_hosts, /etc/ssh/ssh_known_hosts
                                     host keys; one that is not there is refused""",
    "EXIT STATUS": program.EXIT_STATUS.replace("node failed", "host failed").replace(
        "rights, node in use, unknown or unsuitable environment, errors in a file",
        "the file or a node file cannot be read",
    ),
}


@click.command(
    cls=program.ProgramCommand,
    examples=EXAMPLES,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@cast_options
def command(**values: Any) -> ExitStatus:
    """Copy FILE to many hosts at once, by ssh and no configuration but yours.

    FILE is a file of this machine, or '-' for standard input, which is first read to its end into a temporary
    file. Either COMMAND takes it on each host, or --to says where it shall be.
    """
    options = CastOptions(**values)
    if bool(options.command) == bool(options.destination):
        raise UsageError(
            "what the hosts shall do with the file is not given"
            if not options.command
            else "a command and --to exclude each other",
            hint="give -- COMMAND, or --to PATH",
        )
    if options.file == "-" and "-" in options.files:
        raise UsageError("standard input cannot be the file and the list of hosts at once")
    options.check()
    from kadeploy.cli import cast

    return cast.cast(options)


def main() -> None:
    """Entry point of the console script."""
    program.run(command)
