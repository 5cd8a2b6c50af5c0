# SPDX-License-Identifier: Apache-2.0
"""Profiles that boot the miniOS; no file and no network is touched here.

Whoever can write a line of a profile decides what a machine runs as root. So everything that is put into one
is checked: a path is one word, parameters are one line without commands of the boot program.
"""

from __future__ import annotations

import re

from kadeploy.boot.program import BootProgram
from kadeploy.errors import RefusedError

TOKEN_PARAMETER = "kadeploy.boot"  # noqa: S105 - proves which profile booted, is no secret
MAX_COMMAND_LINE = 2000  # COMMAND_LINE_SIZE of x86 is 2048 (asm/setup.h); boot programs add some

_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9+_./-]*")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


def minios(
    program: BootProgram, base_url: str, *, kernel: str, initrd: str, params: str = "", token: str = ""
) -> str:
    """Profile that boots the miniOS.

    ``kernel`` and ``initrd`` are paths below ``base_url`` as BootRepository.install_kernel returns them;
    ``token`` ends up as ``kadeploy.boot=TOKEN`` on the kernel's command line. Raises RefusedError where one
    of them could be taken for a directive.
    """
    for path in (kernel, initrd):
        _check(bool(_FILE.fullmatch(path)) and ".." not in path, f"'{path}' is no path of a boot file")
    _check(not token or bool(_TOKEN.fullmatch(token)), "the boot token is not one word")
    _check(params.isprintable() and params.isascii(), "kernel parameters must be one line of ASCII text")
    _check(len(params) <= MAX_COMMAND_LINE, f"kernel parameters have more than {MAX_COMMAND_LINE} characters")
    problem = program.params_problem(params)
    _check(not problem, problem)
    words = [*params.split(), *([f"{TOKEN_PARAMETER}={token}"] if token else [])]
    return program.minios(base_url, kernel, initrd, words)


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise RefusedError(message, hint="correct boot.kernels.deploy in the cluster's file")
