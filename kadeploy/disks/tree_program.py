# SPDX-License-Identifier: Apache-2.0
"""Program of the room ``tree`` as a part of a shell script, for a miniOS that has only python3-minimal.

The modules in it keep the names by which they import each other, so that what runs on the nodes is the code
the tests import.
"""

from __future__ import annotations

import shlex
from functools import cache
from importlib.resources import files

PACKAGE = "kadeploy.disks.tree"
NO_PYTHON = 4  # exit status

# Works by their names, each with its modules in the order in which they import each other; the last one
# has the work.
_MODULES = {
    "kernel_files": ("image", "kernel_files"),
    "grub_files": ("image", "kernel_files", "grub_files"),
    "host_keys": ("image", "host_keys"),
    "received_file": ("image", "received_file"),
    "authorized_keys": ("image", "host_keys", "accounts", "sshd_config", "sshd_rules", "authorized_keys"),
}

_LOADER = """
import sys, types
for name, text in {modules!r}:
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), module.__dict__)
sys.modules["{package}." + sys.argv[2]].main()
"""

_FUNCTION = """# shellcheck disable=SC2016,SC1003 # the program is no shell text
in_tree() {{
    command -v python3 >/dev/null || {{
        echo "the miniOS has no python3, which works inside of the image" >&2
        exit {status}
    }}
    python3 -ISc {program} "$@"
}}
"""


@cache
def shell_function(*works: str) -> str:
    """Shell function ``in_tree ROOT WORK ARGUMENT...``, which does these works in the tree below ROOT."""
    folder = files(PACKAGE)
    names = dict.fromkeys(name for work in works for name in _MODULES[work])
    modules = [(f"{PACKAGE}.{name}", (folder / f"{name}.py").read_text("utf-8")) for name in names]
    program = _LOADER.format(modules=modules, package=PACKAGE)
    return _FUNCTION.format(status=NO_PYTHON, program=shlex.quote(program))


def command(root: str, work: str, *arguments: str) -> list[str]:
    """Command that does a work in the tree below ``root``; "/" is the miniOS itself."""
    return ["sh", "-c", f'{shell_function(work)}in_tree "$@"', work, root, work, *arguments]
