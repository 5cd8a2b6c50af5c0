# SPDX-License-Identifier: Apache-2.0
"""kalab fault: break nodes on purpose, one by one or as a file says, and mend them."""

from __future__ import annotations

from pathlib import Path

import click

from kadeploy.cli import program
from kadeploy.cli.lab_options import name_option
from kadeploy.errors import UsageError

HELP = """Break NODES on purpose, or mend them.

\b
KIND is one of
  no-power                  its BMC refuses to switch it
  bmc-lies                  its BMC says that it has obeyed, and does nothing
  no-boot                   its firmware finds nothing to boot, from the next boot on
  wrong-boot                its firmware ignores the network and boots the disk
  link-down                 its network cable is unplugged
  duplicate-name=NODE       DHCP gives it the name of that other node
and for container nodes
  firmware-hang[=BOOTS]     its firmware hangs, after so many boots that go well
  slow-boot                 its firmware takes ten times as long
  late-boot=SECONDS         its firmware takes so much longer
  lost-requests=COUNT       of its firmware's requests for files so many are lost, at each boot
  minios-hang               the miniOS that it boots never starts its sshd
  mute-sshd                 the sshd of the miniOS takes connections and never answers
  disk-full=SIZE            from the next boot on an empty disk that fails once so much is written
  disk-read-only            its disk cannot be written, from the next boot on
  slow-link=RATE            its link has this rate in both directions
  cut-link=SECONDS[@SIZE]   its cable is unplugged for a while, once its system has received so much

--plan FILE breaks many nodes, chosen by name or by lot, and prints which got what; --mend mends all nodes.

\b
Examples:
  kalab fault node-[2-3] late-boot=30 on
  kalab fault node-7 cut-link=5@2MiB on
  kalab fault node-7 cut-link off
  kalab fault --plan faults.yaml --seed 3 --json
"""


@click.command(short_help="Break nodes on purpose, or mend them.", help=HELP)
@name_option
@click.option("--plan", type=click.Path(path_type=Path), metavar="FILE", help="Break nodes as FILE says.")
@click.option("--seed", type=int, metavar="N", help="Of the lots that FILE draws, instead of its own.")
@click.option("--mend", is_flag=True, help="Switch all faults of all nodes off.")
@program.json_option
@click.argument("words", nargs=-1, metavar="[NODES KIND on|off]")
def fault(
    name: str, plan: Path | None, seed: int | None, mend: bool, as_json: bool, words: tuple[str, ...]
) -> None:
    if sum((plan is not None, mend, bool(words))) != 1:
        raise UsageError("give either NODES KIND on|off, or --plan, or --mend")
    if plan is None and (seed is not None or as_json):
        raise UsageError("--seed and --json go with --plan")
    if words and (len(words) != 3 or words[2] not in ("on", "off")):
        raise UsageError("give NODES KIND on|off", hint="as in: kalab fault node-[2-3] no-boot on")
    from kadeploy.cli import fault as work

    if plan is not None:
        work.apply(name, plan, seed, as_json=as_json)
    elif mend:
        work.mend(name)
    else:
        nodes, kind, state = words
        work.switch(name, nodes, kind, on=state == "on")
