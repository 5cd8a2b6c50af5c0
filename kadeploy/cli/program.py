# SPDX-License-Identifier: Apache-2.0
"""Programs: sections of the help, manners of options, exit statuses, errors on standard error.

Kadeploy3 parsed its options with Ruby's OptionParser; scripts rely on its manners: unambiguous beginnings of
long options, and options whose value may be left out. Modules that are slow to import are imported where
they are needed, so that ``--help`` answers at once.
"""

from __future__ import annotations

import errno
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from kadeploy.cli import standard_streams
from kadeploy.cli.fields import in_options
from kadeploy.errors import ExitStatus, FileError, KadeployError, first_of

Function = TypeVar("Function", bound=Callable[..., Any])

EXIT_STATUS = """\
0    everything asked for was done
1    some node failed
2    the command line cannot be obeyed
3    refused: rights, node in use, unknown or unsuitable environment, errors in a file
4    a service does not work (store, network, boot files), or a file cannot be written
130  interrupted"""

ENVIRONMENT = """\
KADEPLOY_CONFIG_DIR  directory of the configuration instead of /etc/kadeploy
KADEPLOY_DEBUG       when set, unexpected errors come with their traceback"""

FILES = """\
/etc/kadeploy/server.conf    this site's settings, among them the place of the store
/var/lib/kadeploy            the store, unless database.name says otherwise"""


class ProgramCommand(click.Command):
    """Command with the sections of a manual page, and with OptionParser's manners."""

    def __init__(self, *args: Any, examples: str = "", sections: Mapping[str, str] | None = None, **kw: Any):
        super().__init__(*args, **kw)
        last = {"EXIT STATUS": EXIT_STATUS, "ENVIRONMENT": ENVIRONMENT, "FILES": FILES}
        given = dict(sections or {})
        last = {title: given.pop(title, text) for title, text in last.items()}
        self._sections = {**given, "EXAMPLES": examples, **last}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        names = {
            name: parameter
            for parameter in self.get_params(ctx)
            for name in (*parameter.opts, *parameter.secondary_opts)
            if name.startswith("--")
        }
        _check_coding(args)
        return super().parse_args(ctx, list(_complete(args, names)))

    def make_context(self, *args: Any, **kw: Any) -> click.Context:
        with _reader_noticed():
            return super().make_context(*args, **kw)

    def invoke(self, ctx: click.Context) -> Any:
        with _reader_noticed():
            return super().invoke(ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, text in self._sections.items():
            formatter.write(f"\n{title}:\n{textwrap.indent(text, '  ')}\n")


class _ReaderGone(Exception):
    """End of a command whose reader has closed the pipe; click itself would exit with 1, a failed node."""


@contextmanager
def _reader_noticed() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise _ReaderGone from error


def _check_coding(args: Sequence[str]) -> None:
    """Check that arguments are text; raises click.UsageError. Python has other bytes as lone surrogates."""
    for argument in args:
        if any("\ud800" <= character <= "\udfff" for character in argument):
            shown = os.fsencode(argument).decode(errors="replace")
            raise click.UsageError(f"'{shown}' is no text in UTF-8")


def _complete(args: Sequence[str], names: Mapping[str, click.Parameter]) -> Iterator[str]:
    """Arguments with abbreviated long options completed; raises click.UsageError for ambiguous ones."""
    for position, argument in enumerate(args):
        if argument == "--":
            yield from args[position:]
            return
        name, equals, value = argument.partition("=")
        candidates = sorted(known for known in names if known.startswith(name))
        if not argument.startswith("--") or name in names or not candidates:
            yield argument
        elif len({names[candidate] for candidate in candidates}) == 1:
            yield candidates[0] + equals + value
        else:
            raise click.UsageError(f"{name} is ambiguous: {', '.join(candidates)}")


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        standard_streams.say(f"Kadeploy version: {version('kadeploy')}")
        context.exit()


def version_option(function: Function) -> Function:
    """Option ``-v/--version``, which prints as Kadeploy3 does."""
    option: Callable[[Function], Function] = click.option(
        "-v",
        "--version",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_version,
        help="Print the version and exit.",
    )
    return option(function)


def json_option(function: Function) -> Function:
    """Option ``--json``, as the parameter ``as_json``."""
    option: Callable[[Function], Function] = click.option(
        "--json", "as_json", is_flag=True, help="Print JSON instead."
    )
    return option(function)


def run(command: click.Command) -> NoReturn:
    """Run a command as a program, and exit with its status."""
    standard_streams.open_missing()
    standard_streams.write_any_text()
    standard_streams.make_logs_safe()
    name = Path(sys.argv[0]).name
    try:
        status = command.main(prog_name=name, standalone_mode=False)
        sys.stdout.flush()
    except (BrokenPipeError, _ReaderGone):
        standard_streams.discard_output()
        status = ExitStatus.OK
    except (KeyboardInterrupt, click.Abort):
        standard_streams.tell(f"{name}: interrupted")
        status = ExitStatus.INTERRUPTED
    except Exception as error:
        if os.environ.get("KADEPLOY_DEBUG"):
            raise
        status = _report(name, _fields_of(command), error)
    standard_streams.flush_errors()
    sys.exit(int(status or ExitStatus.OK))


def _fields_of(command: click.Command) -> str:
    """Name of a command in the tables of fields: that of its module, whatever the program is called."""
    return command.callback.__module__.rpartition(".")[2] if command.callback else ""


def _report(name: str, command: str, error: BaseException) -> ExitStatus:
    """Write an error as one sentence and a hint to standard error, and return its exit status."""
    error = first_of(error)
    match error:
        case FileError():  # its lines begin with file:line:column, for editors
            message, hint, status = error.message, error.hint, error.status
        case KadeployError():
            message, hint, status = f"{name}: {in_options(error.message, command)}", error.hint, error.status
        case click.ClickException():
            message, hint = f"{name}: {error.format_message()}", f"'{name} --help' explains the options"
            status = ExitStatus.USAGE
        case OSError(errno=errno.ENOSPC | errno.EDQUOT | errno.EIO, filename=None):  # of click.echo
            standard_streams.discard_output()
            message, hint, status = (
                f"{name}: the output cannot be written: {error.strerror}",
                "",
                ExitStatus.SERVICE,
            )
        case _:
            message = f"{name}: unexpected error: {type(error).__name__}: {error}"
            hint, status = "set KADEPLOY_DEBUG=1 to see where, and report it", ExitStatus.SERVICE
    standard_streams.tell(message)
    if hint:
        standard_streams.tell(f"hint: {in_options(hint, command)}")
    return status
