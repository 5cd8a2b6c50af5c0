# SPDX-License-Identifier: Apache-2.0
"""Fields of requests, and use cases, as the options and commands by which a user gives them.

Errors and hints name both in backquotes, for they do not know how a request came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"`([a-z_]+)[a-z0-9_.]*`( ?)")
_PREFIX = "--"  # of an option whose name is a value

_NODES = {"nodes": "-m", "force": "--force"}
_ENVIRONMENT = {"environment": "-e", "owner": "-u", "version": "--env-version"}
_SERVER = {"server": "--server", "embedded": "--embedded"}
_DISK = {"keys": "-k", "block_device": "-b", "partition": "-p"}
FIELDS: Mapping[str, Mapping[str, str]] = {
    "kadeploy": {
        **_SERVER,
        **_NODES,
        **_ENVIRONMENT,
        **_DISK,
        "hold_seconds": "--hold-time",
        "reformat_tmp": "-r",
        "automaton": "--force-steps",
        "breakpoints": "--breakpoint",
        "hold_failures": "--breakpoint-on-failure",
        "spares": "--spares",
        "min_ok": "--min-ok",
        "stop_at_min_ok": "--stop-at-min-ok",
        "deadline": "--deadline",
        "kexec": "--no-kexec",
        "partition_disks": "--disable-disk-partitioning",
        "install_bootloader": "--disable-bootloader-install",
        "custom_steps": "--custom-steps",
        "start": "--from",
        "simulation": "--simulate",
    },
    "kareboot": {
        **_SERVER,
        **_NODES,
        **_ENVIRONMENT,
        **_DISK,
        "kind": "-r",
        "level": "-l",
        "profile": "-w",
        "singularities": "--set-pxe-pattern",
        "check_destructive": "-c",
        "timeout": "--reboot-classical-timeout",
    },
    "kapower": {**_SERVER, **_NODES, "kind": _PREFIX, "level": "-l"},
    "kacast": {"min_ok": "--min-ok", "address": "--address ADDRESS"},
    "kaenv": {**_SERVER, **_ENVIRONMENT},
    "kastat": {**_SERVER},
    "karights": {
        **_SERVER,
        "user": "-u",
        "nodes": "-m",
        "devices": "-p",
        "until": "--until",
        "overwrite": "-o",
    },
    "kanodes": {**_SERVER, **_NODES},
    "kasite": {"user": "--user"},
    "kalab": {
        "name": "--name",
        "driver": "--driver",
        "boot_program": "--pxe",
        "boot_delay": "--boot-delay",
        "boot_spread": "--boot-spread",
        "deploy_env": "--deploy-env",
        "state_dir": "--state-dir",
    },
}
USE_CASES = {
    "deploy": "kadeploy",
    "plan": "kadeploy --dry-run",
    "list": "kadeploy --list",
    "resume": "kadeploy --resume",
    "retry": "kadeploy --retry",
    "again": "kadeploy --again",
    "cancel": "kadeploy --cancel",
    "abandon": "kadeploy --abandon",
    "list_environments": "kaenv -l",
    "show_environment": "kaenv -p",
    "delete_environment": "kaenv -d",
    "recompress": "kaenv --recompress",
    "update_image": "kaenv --update-image-checksum",
    "update_postinstalls": "kaenv --update-postinstalls-checksum",
    "list_rights": "karights -l",
    "add_rights": "karights -a",
    "delete_rights": "karights -d",
    "start_lab": "'kalab up -n 3'",
    "stop_lab": "kalab down --name",
    "show_console": "kalab console --log",
}


def in_options(text: str, command: str) -> str:
    """Text whose fields and use cases are named as a user of this command gives them."""
    names = {**USE_CASES, **FIELDS.get(command, {})}

    def replace(match: re.Match[str]) -> str:
        option = names.get(match[1], match[0].rstrip())
        return option if option == _PREFIX else option + match[2]

    return _NAME.sub(replace, text)
