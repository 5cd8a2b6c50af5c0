# SPDX-License-Identifier: Apache-2.0
"""Chassis commands of ipmi_sim: ``get power``, ``set power 1``, ``set reset 1``, ``set boot pxe``.

Standard library only: this is started anew for each command.
"""

from __future__ import annotations

import sys
from pathlib import Path

from kadeploy.lab import machines
from kadeploy.lab.machine import CLAIMED_POWER, Machine, Refused

# Power state that a lying BMC claims after ``set VERB VALUE``; after other orders it claims nothing new.
_CLAIMS = {("power", "1"): "1", ("power", "0"): "0", ("reset", "1"): "1", ("shutdown", "1"): "0"}


def switch(machine: Machine, verb: str, value: str) -> None:
    """Carry out ``set VERB VALUE``; raises Refused."""
    if machine.has_fault("no-power"):
        raise Refused("the fault no-power is on")
    if machine.has_fault("bmc-lies"):
        _write_claim(machine, _CLAIMS.get((verb, value)))
        return
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


def _write_claim(machine: Machine, power: str | None) -> None:
    if power is not None:
        Path(machine.file(CLAIMED_POWER)).write_text(power)


def _power(machine: Machine) -> str:
    claimed = Path(machine.file(CLAIMED_POWER))
    if machine.has_fault("bmc-lies") and claimed.exists():
        return claimed.read_text()
    return str(int(machine.pid is not None))


def answer(machine: Machine, verbs: list[str]) -> list[str]:
    """Answer ``get VERB…`` in the lines that ipmi_sim reads; raises Refused."""
    answers = {"power": _power(machine), "boot": machine.boot_device}
    unknown = [verb for verb in verbs if verb not in answers]
    if unknown:
        raise Refused(f"this BMC cannot get {unknown[0]}")
    return [f"{verb}:{answers[verb]}" for verb in verbs]


def main(directory: str, verb: str, *rest: str) -> int:
    """Run ``get VERB…`` or ``set VERB VALUE``; returns the exit status, with a reason on stderr."""
    machine = machines.machine_in(Path(directory))
    try:
        if verb == "get":
            sys.stdout.write("".join(f"{line}\n" for line in answer(machine, list(rest))))
        else:
            switch(machine, *rest)
    except (Refused, TimeoutError, OSError) as error:
        sys.stderr.write(f"{directory}: {verb} {' '.join(rest)}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
