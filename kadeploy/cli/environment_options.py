# SPDX-License-Identifier: Apache-2.0
"""Options of kaenv, and the typed value that they become."""

from __future__ import annotations

from dataclasses import dataclass

import click

from kadeploy.cli import program
from kadeploy.cli.options import declare
from kadeploy.cli.server_options import ServerOptions, server_options

environment_options = declare(
    click.option("-a", "--add", metavar="FILE", help="Record the description in FILE (path, URL or '-')."),
    click.option(
        "-l",
        "--list",
        "pattern",
        is_flag=False,
        flag_value="%",
        metavar="[NAME]",
        help="List the environments you see; in NAME, % stands for any text.",
    ),
    click.option("-p", "--print", "printed", metavar="NAME", help="Print a description, as -a reads it."),
    click.option("-d", "--delete", metavar="NAME", help="Delete the last version."),
    click.option("-s", "--all-versions", "--show-all-versions", is_flag=True, help="Apply to all versions."),
    click.option(
        "-u", "--env-user", metavar="USER", help="Owner of the environment; with -l, '*' is everybody."
    ),
    click.option("--env-version", type=click.IntRange(min=0), metavar="N", help="Apply to version N."),
    click.option("--set-visibility-tag", metavar="NAME", help="Change who sees it, to the value of -t."),
    click.option(
        "-t",
        "--visibility-tag",
        type=click.Choice(["private", "shared", "public"]),
        help="private: you; shared: who names you with -u; public: everybody (administrators only).",
    ),
    click.option("--toggle-destructive-tag", metavar="NAME", help="Invert the mark 'destructive'."),
    click.option("--update-image-checksum", metavar="NAME", help="Record the image's present digest."),
    click.option("--update-preinstall-checksum", metavar="NAME", help="Record the pre-install's digest."),
    click.option(
        "--update-postinstalls-checksum",
        "--update-postinstall-checksum",
        metavar="NAME",
        help="Record the post-installs' digests.",
    ),
    click.option(
        "--recompress", metavar="NAME", help="Make a zstd image beside the present one, and use it."
    ),
    server_options,
    program.json_option,
    program.version_option,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentOptions(ServerOptions):
    """Options of kaenv."""

    add: str | None
    pattern: str | None
    printed: str | None
    delete: str | None
    all_versions: bool
    env_user: str | None
    env_version: int | None
    set_visibility_tag: str | None
    visibility_tag: str | None
    toggle_destructive_tag: str | None
    update_image_checksum: str | None
    update_preinstall_checksum: str | None
    update_postinstalls_checksum: str | None
    recompress: str | None
    as_json: bool

    @property
    def actions(self) -> dict[str, str]:
        """Actions that are asked for, each with its environments or its file."""
        asked = {
            "add": self.add,
            "list": self.pattern,
            "print": self.printed,
            "delete": self.delete,
            "set visibility": self.set_visibility_tag,
            "toggle destructive": self.toggle_destructive_tag,
            "update image": self.update_image_checksum,
            "update preinstall": self.update_preinstall_checksum,
            "update postinstalls": self.update_postinstalls_checksum,
            "recompress": self.recompress,
        }
        return {action: name for action, name in asked.items() if name is not None}
