# SPDX-License-Identifier: Apache-2.0
"""Scripts of iPXE as far as boot profiles use them (https://ipxe.org/scripting); no files, no network."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

MAX_SCRIPTS = 16  # that one boot may chain
MAX_COMMANDS = 1000

_VARIABLE = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class BootKernel:
    """Boot a kernel that is fetched, with an initrd ('' for none)."""

    kernel: str
    initrd: str
    command_line: str


@dataclass(frozen=True, slots=True)
class BootDisk:
    """Boot the first disk."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Reboot the machine."""


@dataclass(frozen=True, slots=True)
class NextDevice:
    """Give up: the firmware tries the next device of its boot order."""


Outcome = BootKernel | BootDisk | Restart | NextDevice


class _Ended(Exception):
    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


@dataclass(slots=True)
class Ipxe:
    """One start of iPXE.

    ``settings`` maps names as ip and netX/mac to their values. ``fetch`` gives the content behind a URL and
    raises OSError; ``has_system`` says whether the disk can be booted; ``print_line`` writes to the console.
    """

    settings: Mapping[str, str]
    fetch: Callable[[str], bytes]
    has_system: Callable[[], bool]
    print_line: Callable[[str], None]
    sleep: Callable[[float], None]
    _kernel: tuple[str, str] = field(init=False, default=("", ""))
    _initrd: str = field(init=False, default="")
    _scripts: int = field(init=False, default=0)
    _commands: int = field(init=False, default=0)
    _verbs: dict[str, Callable[[list[str]], bool]] = field(init=False, default_factory=dict)

    def boot(self, url: str) -> Outcome:
        """Run the script behind a URL, and return its end."""
        self._verbs = {
            "chain": lambda words: self._chain(words[-1]),
            "kernel": self._load_kernel,
            "initrd": self._load_initrd,
            "boot": lambda _: self._boot(),
            "sanboot": lambda _: self._boot_disk(),
            "exit": self._exit,
            "reboot": lambda _: self._end(Restart()),
            "echo": self._echo,
            "sleep": self._sleep,
            "iseq": lambda words: words[0] == words[1] if len(words) == 2 else False,
        }
        try:
            self._chain(url)
        except _Ended as ended:
            return ended.outcome
        return NextDevice()

    def _chain(self, url: str) -> bool:
        self._scripts += 1
        if self._scripts > MAX_SCRIPTS:
            return False
        try:
            content = self.fetch(url).decode("utf-8", errors="replace")
        except OSError as error:
            self.print_line(f"{url}... {error}")
            return False
        self.print_line(f"{url}... ok")
        return content.startswith("#!ipxe") and self._run(content.splitlines())

    def _run(self, lines: list[str]) -> bool:
        """Run line after line; a line that fails ends the script."""
        position = 0
        while position < len(lines):
            self._commands += 1
            if self._commands > MAX_COMMANDS:
                return False
            ok, label = self._run_line(self._expand(lines[position]).split())
            if label is not None:
                position = _position(lines, label)
            elif ok:
                position += 1
            else:
                return False
        return True

    def _run_line(self, words: list[str]) -> tuple[bool, str | None]:
        """Run a line of commands with && and || between them; returns status and target of a goto."""
        ok, wanted, command = True, True, list[str]()
        for word in [*words, "&&"]:
            if word not in ("&&", "||"):
                command.append(word)
                continue
            if wanted and command and command[0] == "goto":
                return True, command[1] if len(command) > 1 else ""
            if wanted:
                ok = self._command(command) if command else True  # as in `iseq … && exit 1 ||`
            wanted, command = ok if word == "&&" else not ok, []
        return ok, None

    def _command(self, words: list[str]) -> bool:
        if words[0].startswith(("#", ":")):
            return True
        verb = self._verbs.get(words[0])
        if verb is None:
            self.print_line(f"{words[0]}: command not found")
            return False
        return verb(words[1:])

    def _expand(self, line: str) -> str:
        return _VARIABLE.sub(lambda match: self._setting(match[1]), line)

    def _setting(self, name: str) -> str:
        name, _, form = name.partition(":")
        value = self.settings.get(name, "")
        if form == "hexhyp":
            return value.replace(":", "-")
        if form == "hexraw":
            return ipaddress.ip_address(value).packed.hex()
        return value

    def _load_kernel(self, words: list[str]) -> bool:
        if not words or not self._can_fetch(words[0]):
            return False
        self._kernel = (words[0], " ".join(words[1:]))
        return True

    def _load_initrd(self, words: list[str]) -> bool:
        if not words or not self._can_fetch(words[-1]):
            return False
        self._initrd = words[-1]
        return True

    def _can_fetch(self, url: str) -> bool:
        try:
            self.fetch(url)
        except OSError as error:
            self.print_line(f"{url}... {error}")
            return False
        self.print_line(f"{url}... ok")
        return True

    def _boot(self) -> bool:
        if not self._kernel[0]:
            self.print_line("no kernel was loaded")
            return False
        return self._end(BootKernel(self._kernel[0], self._initrd, self._kernel[1]))

    def _boot_disk(self) -> bool:
        if not self.has_system():
            self.print_line("Could not boot from the disk: it has no boot loader with a system")
            return False
        return self._end(BootDisk())

    def _exit(self, words: list[str]) -> bool:
        return self._end(NextDevice())

    def _end(self, outcome: Outcome) -> bool:
        raise _Ended(outcome)

    def _echo(self, words: list[str]) -> bool:
        self.print_line(" ".join(words))
        return True

    def _sleep(self, words: list[str]) -> bool:
        self.sleep(min(float(words[0]), 60.0) if words and words[0].isdigit() else 0.0)
        return True


def _position(lines: list[str], label: str) -> int:
    """Index of the line behind a label; behind the last line if there is none."""
    for position, line in enumerate(lines):
        if line.strip() == f":{label}":
            return position + 1
    return len(lines)
