# SPDX-License-Identifier: Apache-2.0
"""Options of karights, and the typed value that they become."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import click

from kadeploy.cli import program
from kadeploy.cli.options import NodeOptions, declare, node_options
from kadeploy.cli.report_options import Date
from kadeploy.cli.server_options import ServerOptions, server_options

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MAX_DIGITS = 10
_LATEST = 253_402_300_799  # the end of the year 9999


class End(click.ParamType[float]):
    """End as a duration from now, as ``@SECONDS``, or as a local time; in seconds since the epoch."""

    name = "end"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        number, unit = (value[:-1], value[-1:]) if value[-1:] in _UNITS else (value, "s")
        if _is_number(number):
            return self._checked(round(time.time()) + int(number) * _UNITS[unit], value, param, ctx)
        if value.startswith("@") and _is_number(value[1:]):
            return float(value[1:])
        if ":" in value:
            return Date().convert(value, param, ctx)
        return self.fail(
            f"'{value}' is no duration such as 3600, 90m, 12h or 7d, no time such as '2026-01-31 18:00:00', "
            "and no @SECONDS",
            param,
            ctx,
        )

    def _checked(
        self, end: float, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        return end if end < _LATEST else self.fail(f"'{value}' is too long", param, ctx)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS


rights_options = declare(
    click.option("-a", "--add", is_flag=True, help="Give a user rights."),
    click.option(
        "-d", "--delete", is_flag=True, help="Withdraw rights of a user, and end what he does there."
    ),
    click.option("-l", "--list", "-s", "--show-rights", "listing", is_flag=True, help="List rights."),
    click.option("-u", "--user", metavar="USER", help="The user whose rights they are."),
    node_options,
    click.option(
        "-p",
        "--part",
        "--partition",
        "devices",
        multiple=True,
        metavar="DEVICE",
        help="A device such as /dev/sda3; '*', or none: all; repeatable.",
    ),
    click.option(
        "-o", "--overwrite-rights", is_flag=True, help="With -a: withdraw the rights of others there."
    ),
    click.option(
        "--until",
        type=End(),
        metavar="END",
        help="With -a: when the rights end, as 3600, 90m, 12h, 7d, @SECONDS or a time (default: never).",
    ),
    server_options,
    program.json_option,
    program.version_option,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RightsOptions(NodeOptions, ServerOptions):
    """Options of karights."""

    add: bool
    delete: bool
    listing: bool
    user: str | None
    devices: tuple[str, ...]
    overwrite_rights: bool
    until: float | None
    as_json: bool

    @property
    def actions(self) -> list[str]:
        """Actions that are asked for."""
        asked = {"add": self.add, "delete": self.delete, "list": self.listing}
        return [action for action, wanted in asked.items() if wanted]
