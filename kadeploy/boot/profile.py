# SPDX-License-Identifier: Apache-2.0
"""Profiles that boot the miniOS; no file and no network is touched here.

Whoever can write a line of a profile decides what a machine runs as root. So everything that is put into one
is checked: a path is one word, parameters are one line without commands of the boot program.
"""

from __future__ import annotations

import re
import secrets

from kadeploy.boot.program import BootProgram
from kadeploy.errors import RefusedError
from kadeploy.masking import SECRET_PARAMETER as SECRET_PARAMETER

SECRET_PLACE = "KADEPLOY-BOOT-SECRET"  # noqa: S105 - a word of the text that each answer replaces
MAX_COMMAND_LINE = 2000  # COMMAND_LINE_SIZE of x86 is 2048 (asm/setup.h); boot programs add some

_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9+_./-]*")
_SECRET_WORD = re.compile(rf" ?{re.escape(SECRET_PARAMETER)}={re.escape(SECRET_PLACE)}")


def make_secret() -> str:
    """Fresh secret of an answer: as long as a block of SHA-256, whose HMAC the miniOS proves it by."""
    return secrets.token_hex(32)


def fill(text: str, secret: str) -> str:
    """Profile with a secret in its place; without one the whole parameter is left out."""
    return text.replace(SECRET_PLACE, secret) if secret else _SECRET_WORD.sub("", text)


def minios(
    program: BootProgram,
    base_url: str,
    *,
    kernel: str,
    initrd: str,
    params: str = "",
    secret: bool = False,
) -> str:
    """Profile that boots the miniOS.

    ``kernel`` and ``initrd`` are paths below ``base_url`` as BootRepository.install_kernel returns them. With
    ``secret`` the kernel's command line has ``kadeploy.boot=`` with the place that ``fill`` fills. Raises
    RefusedError where one of them could be taken for a directive.
    """
    for path in (kernel, initrd):
        _check(bool(_FILE.fullmatch(path)) and ".." not in path, f"'{path}' is no path of a boot file")
    _check(params.isprintable() and params.isascii(), "kernel parameters must be one line of ASCII text")
    _check(len(params) <= MAX_COMMAND_LINE, f"kernel parameters have more than {MAX_COMMAND_LINE} characters")
    problem = program.params_problem(params)
    _check(not problem, problem)
    for ours in (SECRET_PLACE, f"{SECRET_PARAMETER}="):
        _check(ours not in params, f"kernel parameters must not contain '{ours}'")
    words = [*params.split(), *([f"{SECRET_PARAMETER}={SECRET_PLACE}"] if secret else [])]
    return program.minios(base_url, kernel, initrd, words)


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise RefusedError(message, hint="correct boot.kernels.deploy in the cluster's file")
