# SPDX-License-Identifier: Apache-2.0
"""Work of the kaenv command: one function for each action on environments."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import click

from kadeploy.caller import Caller
from kadeploy.cli.environment_options import EnvironmentOptions
from kadeploy.cli.fields import in_options
from kadeploy.config import site as configuration
from kadeploy.environments import source
from kadeploy.environments.description import to_yaml
from kadeploy.environments.environment import Environment
from kadeploy.environments.recompression import advice as compression_advice
from kadeploy.errors import ExitStatus
from kadeploy.service.environments import EnvironmentService
from kadeploy.service.service import Service
from kadeploy.service.views.environments import EnvironmentsView
from kadeploy.terminal import printable_line

MAX_INPUT = 2 * 1024 * 1024  # bytes; more than any description may have
NO_ENVIRONMENT = "No environment has been found"


@dataclass(frozen=True, slots=True)
class EnvironmentAction:
    """Action on the environments, or with the file, of this name; ``text`` came by standard input."""

    kind: str  # of ``_ACTIONS``
    name: str
    text: bytes
    options: EnvironmentOptions


def carry_out(options: EnvironmentOptions) -> ExitStatus:
    """Carry out the command; raises KadeployError for what was refused."""
    [(kind, name)] = options.actions.items()
    # Read before the event loop runs: a thread that waits for a terminal could not be interrupted.
    text = sys.stdin.buffer.read(MAX_INPUT) if kind == "add" and name == "-" else b""
    asyncio.run(_act(EnvironmentAction(kind, name, text, options)))
    return ExitStatus.OK


async def _act(action: EnvironmentAction) -> None:
    site = configuration.load()
    async with Service.open(site, Caller.of_process()) as service:
        await _ACTIONS[action.kind](service.environments, action)


async def _add(service: EnvironmentService, action: EnvironmentAction) -> None:
    if action.name == "-":
        description = source.parse(action.text, "-")
    else:
        description = await source.load(action.name)
    for warning in description.warnings:
        click.echo(printable_line(f"{warning} (warning)"), err=True)
    recorded = await service.record(description, action.options.env_user)
    if advice := compression_advice(recorded):
        click.echo(f"hint: {in_options(advice, 'kaenv')}", err=True)


async def _list(service: EnvironmentService, action: EnvironmentAction) -> None:
    found = await service.list_visible(
        action.name, action.options.env_user, action.options.env_version, action.options.all_versions
    )
    _print_json(found) if action.options.as_json else _print_table(found)


async def _print(service: EnvironmentService, action: EnvironmentAction) -> None:
    found = await service.find(
        action.name, action.options.env_user, action.options.env_version, action.options.all_versions
    )
    _print_json(found) if action.options.as_json else _print_yaml(found)


async def _delete(service: EnvironmentService, action: EnvironmentAction) -> None:
    await service.delete(await _find_own(service, action))


async def _set_visibility(service: EnvironmentService, action: EnvironmentAction) -> None:
    await service.change_visibility(await _find_own(service, action), action.options.visibility_tag or "")


async def _toggle_destructive(service: EnvironmentService, action: EnvironmentAction) -> None:
    await service.toggle_destructive(await _find_own(service, action))


async def _recompress(service: EnvironmentService, action: EnvironmentAction) -> None:
    [environment] = await _find_own(service, action)
    made = await service.recompress(environment, _progress() if sys.stderr.isatty() else _silence)
    sizes = f"{made.size / 1e6:.1f} MB instead of {made.former_size / 1e6:.1f}"
    click.echo(f"{environment.label} has now {made.path}, {sizes}; the old image is still there", err=True)


def _silence(done: int, total: int | None) -> None:
    """Drop progress: a log gets the result only."""


def _progress() -> Callable[[int, int | None], None]:
    """Drawer of the share of the image that is done, at each percent."""
    shown = -1

    def draw(done: int, total: int | None) -> None:
        nonlocal shown
        percent = 100 * done // max(total or 0, 1)
        if percent != shown:
            shown = percent
            click.echo(f"\r{percent:3}% ", nl=percent == 100, err=True)

    return draw


async def _update_image(service: EnvironmentService, action: EnvironmentAction) -> None:
    await service.update_digests(await _find_own(service, action), "image")


async def _update_preinstall(service: EnvironmentService, action: EnvironmentAction) -> None:
    await service.update_digests(await _find_own(service, action), "preinstall")


async def _update_postinstalls(service: EnvironmentService, action: EnvironmentAction) -> None:
    await service.update_digests(await _find_own(service, action), "postinstalls")


_ACTIONS: dict[str, Callable[[EnvironmentService, EnvironmentAction], Coroutine[Any, Any, None]]] = {
    "add": _add,
    "list": _list,
    "print": _print,
    "delete": _delete,
    "set visibility": _set_visibility,
    "toggle destructive": _toggle_destructive,
    "recompress": _recompress,
    "update image": _update_image,
    "update preinstall": _update_preinstall,
    "update postinstalls": _update_postinstalls,
}


async def _find_own(service: EnvironmentService, action: EnvironmentAction) -> list[Environment]:
    """Environments to change: without -u those of the user alone."""
    owner = action.options.env_user or service.caller.name
    return await service.find(action.name, owner, action.options.env_version, action.options.all_versions)


def _print_json(found: list[Environment]) -> None:
    click.echo(EnvironmentsView.of(found).to_list_text())


def _print_yaml(found: list[Environment]) -> None:
    for environment in found:
        click.echo(to_yaml(environment), nl=False)


def _print_table(found: list[Environment]) -> None:
    """Print columns of Kadeploy3: 21, 7, 11 and the rest of 80; a longer value runs into the next column."""
    if not found:
        click.echo(NO_ENVIRONMENT, err=True)
        return
    click.echo(_row("Name", "Version", "User", "Description"))
    click.echo(_row("####", "#######", "####", "###########"))
    for environment in found:
        click.echo(
            _row(environment.name, str(environment.version), environment.owner, environment.description)
        )


def _row(name: str, version: str, user: str, description: str) -> str:
    row = ""
    for text, end in ((name, 22), (version, 30), (user, 42)):
        row = f"{row}{text} ".ljust(end)
    text = printable_line(" ".join(description.split()))
    room = max(80 - len(row), 0)
    return (row + (text if len(text) <= room else text[: max(room - 3, 0)] + "...")).rstrip()
