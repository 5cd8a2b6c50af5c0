# SPDX-License-Identifier: Apache-2.0
"""Programs in Python as parts of shell scripts, for a miniOS that has only python3-minimal.

Their modules keep the names by which they import each other, so that what runs on the nodes is the code the
tests import.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

NO_PYTHON = 4  # exit status

_LOADER = """
import sys, types
for name, text in {modules!r}:
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), module.__dict__)
sys.modules["{package}." + sys.argv[2]].main()
"""

_FUNCTION = """# shellcheck disable=SC2016,SC1003 # the program is no shell text
{function}() {{
    command -v python3 >/dev/null || {{
        echo "the miniOS has no python3, which {purpose}" >&2
        exit {status}
    }}
    python3 -ISc {program} "$@"
}}
"""


@dataclass(frozen=True, slots=True)
class NodeProgram:
    """Program of the room ``package``: shell function ``FUNCTION ROOT WORK ARGUMENT...``.

    ``works`` maps names of works to their modules in the order in which they import each other; the last one
    has the work. ``purpose``: what the miniOS needs python3 for.
    """

    package: str
    function: str
    purpose: str
    works: Mapping[str, Sequence[str]]

    def shell_function(self, *works: str) -> str:
        """Text of the shell function that does these works."""
        folder = files(self.package)
        names = dict.fromkeys(name for work in works for name in self.works[work])
        modules = [(f"{self.package}.{name}", (folder / f"{name}.py").read_text("utf-8")) for name in names]
        program = _LOADER.format(modules=modules, package=self.package)
        return _FUNCTION.format(
            function=self.function, purpose=self.purpose, status=NO_PYTHON, program=shlex.quote(program)
        )
