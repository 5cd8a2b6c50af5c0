# SPDX-License-Identifier: Apache-2.0
"""Work of the kaenv command: one function for each action on environments."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kadeploy.cli.environment_options import EnvironmentOptions
from kadeploy.cli.fields import in_options
from kadeploy.cli.server_options import open_contract
from kadeploy.cli.standard_streams import draw_again, say, tell
from kadeploy.cli.throughput import size
from kadeploy.contract.contract import Contract
from kadeploy.errors import ExitStatus
from kadeploy.service.named_environments import NamedEnvironments
from kadeploy.service.views.environments import EnvironmentsView, RecordedEnvironmentView
from kadeploy.terminal import printable_line

if TYPE_CHECKING:
    from kadeploy.environments.description import Description

MAX_INPUT = 2 * 1024 * 1024  # bytes; more than any description may have
NO_ENVIRONMENT = "No environment has been found"


@dataclass(frozen=True, slots=True)
class EnvironmentAction:
    """Action on the environments, or with the file, of this name; ``text`` came by standard input."""

    kind: str  # of ``_ACTIONS``
    name: str
    text: bytes
    options: EnvironmentOptions

    @property
    def named(self) -> NamedEnvironments:
        """Environments of this name."""
        options = self.options
        return NamedEnvironments(self.name, options.env_user, options.env_version, options.all_versions)


def carry_out(options: EnvironmentOptions) -> ExitStatus:
    """Carry out the command; raises KadeployError for what was refused."""
    [(kind, name)] = options.actions.items()
    # Read before the event loop runs: a thread that waits for a terminal could not be interrupted.
    text = sys.stdin.buffer.read(MAX_INPUT) if kind == "add" and name == "-" else b""
    asyncio.run(_act(EnvironmentAction(kind, name, text, options)))
    return ExitStatus.OK


async def _act(action: EnvironmentAction) -> None:
    async with open_contract(action.options) as contract:
        await _ACTIONS[action.kind](contract, action)


async def _add(contract: Contract, action: EnvironmentAction) -> None:
    from kadeploy.environments import source

    if action.name == "-":
        description = source.parse(action.text, "-")
    else:
        description = await source.load(action.name)
    for warning in description.warnings:
        tell(f"{warning} (warning)")
    recorded = await _record(contract, description, action.options.env_user)
    if recorded.advice:
        tell(f"hint: {in_options(recorded.advice, 'kaenv')}")


async def _record(contract: Contract, description: Description, owner: str | None) -> RecordedEnvironmentView:
    """Record a description; a server is given its document."""
    from kadeploy.environments.description import to_mapping
    from kadeploy.service.description_document import DescriptionDocument
    from kadeploy.service.service import Service

    if isinstance(contract, Service):
        return await contract.environments.record(description, owner)
    fields = to_mapping(description.environment(""))
    document = DescriptionDocument(description=fields, owner=description.owner or owner)
    return await contract.environments.record_document(document)


async def _list(contract: Contract, action: EnvironmentAction) -> None:
    _print_found(await contract.environments.list_visible(action.named), action, _print_table)


async def _print(contract: Contract, action: EnvironmentAction) -> None:
    _print_found(await contract.environments.find(action.named), action, _print_yaml)


async def _delete(contract: Contract, action: EnvironmentAction) -> None:
    await contract.environments.delete(action.named)


async def _set_visibility(contract: Contract, action: EnvironmentAction) -> None:
    await contract.environments.change_visibility(action.named, action.options.visibility_tag or "")


async def _toggle_destructive(contract: Contract, action: EnvironmentAction) -> None:
    await contract.environments.toggle_destructive(action.named)


async def _recompress(contract: Contract, action: EnvironmentAction) -> None:
    made = await contract.environments.recompress(
        action.named, _progress() if sys.stderr.isatty() else _silence
    )
    sizes = f"{size(made.size)} instead of {size(made.former_size)}"
    tell(f"{made.environment} has now {made.file}, {sizes}; the old image is still there")


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
            draw_again(f"{percent:3}% ", last=percent == 100)

    return draw


async def _update_image(contract: Contract, action: EnvironmentAction) -> None:
    await contract.environments.update_digests(action.named, "image")


async def _update_preinstall(contract: Contract, action: EnvironmentAction) -> None:
    await contract.environments.update_digests(action.named, "preinstall")


async def _update_postinstalls(contract: Contract, action: EnvironmentAction) -> None:
    await contract.environments.update_digests(action.named, "postinstalls")


_ACTIONS: dict[str, Callable[[Contract, EnvironmentAction], Coroutine[Any, Any, None]]] = {
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


def _print_found(
    found: EnvironmentsView, action: EnvironmentAction, print_text: Callable[[EnvironmentsView], None]
) -> None:
    say(found.to_list_text()) if action.options.as_json else print_text(found)


def _print_yaml(found: EnvironmentsView) -> None:
    from kadeploy.environments.description import to_yaml

    for environment in found.environments:
        say(to_yaml(environment.to_description()).removesuffix("\n"))


def _print_table(found: EnvironmentsView) -> None:
    """Print columns of Kadeploy3: 21, 7, 11 and the rest of 80; a longer value runs into the next column."""
    if not found.environments:
        tell(NO_ENVIRONMENT)
        return
    say(_row("Name", "Version", "User", "Description"))
    say(_row("####", "#######", "####", "###########"))
    for environment in found.environments:
        say(_row(environment.name, str(environment.version), environment.user, environment.description))


def _row(name: str, version: str, user: str, description: str) -> str:
    row = ""
    for text, end in ((name, 22), (version, 30), (user, 42)):
        row = f"{row}{text} ".ljust(end)
    text = printable_line(" ".join(description.split()))
    room = max(80 - len(row), 0)
    return (row + (text if len(text) <= room else text[: max(room - 3, 0)] + "...")).rstrip()
