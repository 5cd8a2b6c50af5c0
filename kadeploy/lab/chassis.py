# SPDX-License-Identifier: Apache-2.0
"""What ipmi_sim runs: ``get power``, ``set power 1``, ``set reset 1``, ``get boot``, ``set boot pxe``.

Standard library only: this is started anew for each command.
"""

from __future__ import annotations

import sys
from pathlib import Path

from kadeploy.lab import machines
from kadeploy.lab.machine import Machine, Refused


def switch(machine: Machine, verb: str, value: str) -> None:
    """Obey ``set VERB VALUE``; raises Refused."""
    if machine.has_fault("no-power"):
        raise Refused("the fault no-power is on")
    with machine.locked():
        if verb == "power":
            machine.power_on() if value == "1" else machine.power_off()
        elif verb == "reset":
            machine.reset()
        elif verb == "shutdown":
            machine.shut_down()
        elif verb == "boot":
            machine.set_boot_device(value)
        else:
            raise Refused(f"this BMC cannot set {verb}")


def tell(machine: Machine, verbs: list[str]) -> list[str]:
    """The answers to ``get VERB…`` as ipmi_sim reads them; raises Refused."""
    answers = {"power": str(int(machine.pid is not None)), "boot": machine.boot_device}
    unknown = [verb for verb in verbs if verb not in answers]
    if unknown:
        raise Refused(f"this BMC cannot get {unknown[0]}")
    return [f"{verb}:{answers[verb]}" for verb in verbs]


def main(directory: str, verb: str, *rest: str) -> int:
    """``get WHAT…`` or ``set WHAT VALUE``; the exit status for ipmi_sim, its reason on stderr."""
    machine = machines.of(Path(directory))
    try:
        if verb == "get":
            sys.stdout.write("".join(f"{line}\n" for line in tell(machine, list(rest))))
        else:
            switch(machine, *rest)
    except (Refused, TimeoutError, OSError) as error:
        sys.stderr.write(f"{directory}: {verb} {' '.join(rest)}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
