# SPDX-License-Identifier: Apache-2.0
"""kaenv: record, list, print and change environments."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from kadeploy.cli import frame
from kadeploy.errors import ExitStatus, UsageError
from kadeploy.terminal import printable_line

if TYPE_CHECKING:
    from kadeploy.environments.environment import Environment
    from kadeploy.environments.recording import Desk

EXAMPLES = """\
kaenv -l                               the environments you may use
kaenv -l 'debian%' -u alice            those of alice whose names begin with debian
kaenv -p debian12 -u deploy > my.yaml  a description to start your own from
kaenv -a my.yaml                       record it
kaenv --recompress my                  make zstd of its image, which nodes unpack several times as fast
kaenv --set-visibility-tag my -t shared   let others use it with -u"""

MAX_INPUT = 2 * 1024 * 1024  # bytes; more than any description may have
NO_ENVIRONMENT = "No environment has been found"


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be done with which versions of whose environment; ``text`` came by standard input."""

    name: str
    text: bytes
    user: str | None
    version: int | None
    all_versions: bool
    visibility: str
    as_json: bool


@click.command(cls=frame.Command, examples=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-a", "--add", metavar="FILE", help="Record the description in FILE (path, URL or '-').")
@click.option(
    "-l",
    "--list",
    "pattern",
    is_flag=False,
    flag_value="%",
    metavar="[NAME]",
    help="List the environments you see; in NAME, % stands for any text.",
)
@click.option("-p", "--print", "printed", metavar="NAME", help="Print a description, as -a reads it.")
@click.option("-d", "--delete", metavar="NAME", help="Delete the last version.")
@click.option("-s", "--all-versions", "--show-all-versions", is_flag=True, help="Apply to all versions.")
@click.option("-u", "--env-user", metavar="USER", help="Owner of the environment; with -l, '*' is everybody.")
@click.option("--env-version", type=click.IntRange(min=0), metavar="N", help="Apply to version N.")
@click.option("--set-visibility-tag", metavar="NAME", help="Change who sees it, to the value of -t.")
@click.option(
    "-t",
    "--visibility-tag",
    type=click.Choice(["private", "shared", "public"]),
    help="private: you; shared: who names you with -u; public: everybody (administrators only).",
)
@click.option("--toggle-destructive-tag", metavar="NAME", help="Invert the mark 'destructive'.")
@click.option("--update-image-checksum", metavar="NAME", help="Record the image's present digest.")
@click.option("--update-preinstall-checksum", metavar="NAME", help="Record the pre-install's digest.")
@click.option(
    "--update-postinstalls-checksum",
    "--update-postinstall-checksum",
    metavar="NAME",
    help="Record the post-installs' digests.",
)
@click.option("--recompress", metavar="NAME", help="Make a zstd image beside the present one, and use it.")
@frame.json_option
@frame.version_option
def command(
    pattern: str | None,
    all_versions: bool,
    env_user: str | None,
    env_version: int | None,
    visibility_tag: str | None,
    as_json: bool,
    **names: str | None,
) -> ExitStatus:
    """Manage the recorded environments.

    Exactly one of -a, -l, -p, -d, --set-visibility-tag, --toggle-destructive-tag, --recompress and the
    --update-…-checksum options says what to do. Descriptions are YAML; the .env files of Kadeploy 3.1 are
    read too. Without -u, changes are made to your own environments, and your own and the public ones are
    read.
    """
    chosen = {name: value for name, value in names.items() if value is not None}
    if pattern is not None:
        chosen["list"] = pattern
    if len(chosen) != 1:
        raise UsageError(
            "nothing to do is given" if not chosen else "only one thing can be done at a time",
            hint="give one of -a, -l, -p, -d, --set-visibility-tag, --toggle-destructive-tag, --recompress, "
            "--update-…",
        )
    if (visibility_tag is None) != ("set_visibility_tag" not in chosen):
        raise UsageError("--set-visibility-tag and -t belong together")
    if all_versions and env_version is not None:
        raise UsageError("--all-versions and --env-version exclude each other")
    if all_versions and "recompress" in chosen:
        raise UsageError("--recompress is for one version", hint="give --env-version N")
    import asyncio

    [(action, name)] = chosen.items()
    # Read before the event loop runs: a thread that waits for a terminal could not be interrupted.
    text = sys.stdin.buffer.read(MAX_INPUT) if action == "add" and name == "-" else b""
    request = Request(name, text, env_user, env_version, all_versions, visibility_tag or "", as_json)
    asyncio.run(_act(action, request))
    return ExitStatus.OK


def main() -> None:
    """Entry point of the console script."""
    frame.run(command)


async def _act(action: str, request: Request) -> None:
    from kadeploy.config import site as configuration
    from kadeploy.environments.recording import Desk
    from kadeploy.environments.registry import Caller
    from kadeploy.store.store import Store

    site = configuration.load()
    caller = Caller(frame.user_name(), site.server.rights.almighty)
    async with Store.open(site.path(site.server.database.name)) as store:
        await _ACTIONS[action](Desk(store, caller, site), request)


async def _add(desk: Desk, request: Request) -> None:
    from kadeploy.environments import source
    from kadeploy.environments.recompression import advice as compression_advice

    if request.name == "-":
        description = source.parse(request.text, "-")
    else:
        description = await source.load(request.name)
    for warning in description.warnings:
        click.echo(printable_line(f"{warning} (warning)"), err=True)
    recorded = await desk.record(description, request.user)
    if advice := compression_advice(recorded):
        click.echo(f"hint: {advice}", err=True)


async def _list(desk: Desk, request: Request) -> None:
    found = await desk.list_visible(request.name, request.user, request.version, request.all_versions)
    _print_json(found) if request.as_json else _print_table(found)


async def _print(desk: Desk, request: Request) -> None:
    found = await desk.find(request.name, request.user, request.version, request.all_versions)
    _print_json(found) if request.as_json else _print_yaml(found)


async def _delete(desk: Desk, request: Request) -> None:
    await desk.delete(await _find_own(desk, request))


async def _set_visibility(desk: Desk, request: Request) -> None:
    await desk.change_visibility(await _find_own(desk, request), request.visibility)


async def _toggle_destructive(desk: Desk, request: Request) -> None:
    await desk.toggle_destructive(await _find_own(desk, request))


async def _recompress(desk: Desk, request: Request) -> None:
    [environment] = await _find_own(desk, request)
    made = await desk.recompress(environment, _progress() if sys.stderr.isatty() else _silence)
    sizes = f"{made.size / 1e6:.1f} MB instead of {made.former_size / 1e6:.1f}"
    click.echo(f"{environment.label} has now {made.path}, {sizes}; the old image is still there", err=True)


def _silence(done: int, total: int | None) -> None:
    """A log gets the result only."""


def _progress() -> Callable[[int, int | None], None]:
    """Draws how much of the image is done, whenever another percent is."""
    shown = -1

    def draw(done: int, total: int | None) -> None:
        nonlocal shown
        percent = 100 * done // max(total or 0, 1)
        if percent != shown:
            shown = percent
            click.echo(f"\r{percent:3}% ", nl=percent == 100, err=True)

    return draw


async def _update_image(desk: Desk, request: Request) -> None:
    await desk.update_digests(await _find_own(desk, request), "image")


async def _update_preinstall(desk: Desk, request: Request) -> None:
    await desk.update_digests(await _find_own(desk, request), "preinstall")


async def _update_postinstalls(desk: Desk, request: Request) -> None:
    await desk.update_digests(await _find_own(desk, request), "postinstalls")


_ACTIONS: dict[str, Callable[[Desk, Request], Coroutine[Any, Any, None]]] = {
    "add": _add,
    "list": _list,
    "printed": _print,
    "delete": _delete,
    "set_visibility_tag": _set_visibility,
    "toggle_destructive_tag": _toggle_destructive,
    "recompress": _recompress,
    "update_image_checksum": _update_image,
    "update_preinstall_checksum": _update_preinstall,
    "update_postinstalls_checksum": _update_postinstalls,
}


async def _find_own(desk: Desk, request: Request) -> list[Environment]:
    """What a change is about: without -u nobody means another's environment."""
    owner = request.user or desk.caller.name
    return await desk.find(request.name, owner, request.version, request.all_versions)


def _print_json(found: list[Environment]) -> None:
    from kadeploy.environments.description import to_mapping

    json.dump(
        [{**to_mapping(environment), "user": environment.owner} for environment in found],
        sys.stdout,
        indent=2,
        ensure_ascii=False,
    )
    click.echo()


def _print_yaml(found: list[Environment]) -> None:
    from kadeploy.environments.description import to_yaml

    for environment in found:
        click.echo(to_yaml(environment), nl=False)


def _print_table(found: list[Environment]) -> None:
    """Columns of Kadeploy3: 21, 7, 11 and the rest of 80; a value that is too long eats the next column."""
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
