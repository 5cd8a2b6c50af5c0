# SPDX-License-Identifier: Apache-2.0
"""Command lines for nodes, which are made here only, and the constant shell texts.

Values never become part of a shell text: they are positional parameters or environment variables.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kadeploy.errors import RemoteError
from kadeploy.local.ending import label_ending, select_output
from kadeploy.masking import masked

OUTPUT_LIMIT = 20_000  # bytes of each stream that are kept, the last ones; Kadeploy3's bound
EVIDENCE_LINES = 10

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Every process of a run carries this variable in its environment, so that all of them can be found and
# ended: sshd refuses to pass signals on in a session of root.
RUN_VARIABLE = "KADEPLOY_RUN"

# size, arguments of the script ... The size is compared, because a broken connection looks like the end of
# the file to the node.
SCRIPT_TEXT = """set -e
size=$1; shift
temporary=$(mktemp "${TMPDIR:-/tmp}/kadeploy-script.XXXXXX")
umask 077
trap 'rm -f "$temporary"' EXIT
trap 'exit 143' HUP INT TERM
cat >"$temporary"
if [ "$(wc -c <"$temporary")" -ne "$size" ]; then
    echo "$(wc -c <"$temporary") of $size bytes arrived" >&2
    exit 1
fi
chmod 755 "$temporary"
umask 022
"$temporary" "$@" </dev/null
"""

# run. Ends all its processes: TERM, and KILL to those that are still there half a second later. The login
# shell, which reads its start-up files first, has the variable in its command line, the others have it in
# their environment. Looks three times before it decides that there is none, as the run may be about to
# start. The brackets keep grep from finding itself.
KILL_TEXT = f"""none=0
for signal in TERM 0 0 0 0 KILL KILL KILL; do
    found=$(grep -ls "[{RUN_VARIABLE[0]}]{RUN_VARIABLE[1:]}=$1" /proc/[0-9]*/environ /proc/[0-9]*/cmdline)
    if [ -z "$found" ]; then
        none=$((none + 1))
        [ $none -lt 3 ] || exit 0
    fi
    for file in $found; do
        process=${{file#/proc/}}
        kill -"$signal" "${{process%%/*}}" 2>/dev/null
    done
    sleep 0.1
done
exit 1
"""


# run, input, text of KILL_TEXT, command ... Runs the command, and ends its run when standard input ends
# before it: nobody is left then who gives this order, as kadeploy was killed, or its machine has crashed.
# Of standard input the command gets as many bytes as ``input`` says, with "all" every one; that one has
# some seconds at its end to clear up. What a command detaches before it ends goes on, as the reboot that
# ends a miniOS.
#
# The shell looks at the environment of the command, for another process may have its number meanwhile.
# Without input it becomes the command, so that a signal that ends this is told.
GUARD_TEXT = f"""run=$1 input=$2 kill=$3
shift 3
guard() {{
    exec >/dev/null 2>&1
    while read -r _; do :; done
    for second in $1; do
        runs && sleep 1
    done
    if runs; then
        unset {RUN_VARIABLE}
        exec sh -c "$kill" kill "$run"
    fi
}}
runs() {{
    grep -qs "{RUN_VARIABLE}=$run" /proc/$$/environ
}}
exec 3<&0
case $input in
    0)
        guard '' <&3 &
        exec "$@" </dev/null 3<&-
        ;;
    all)
        {{ {{ cat; exec >&-; guard '1 2 3 4 5'; }} <&3 & }} | {{ exec "$@" 3<&-; }}
        ;;
    *)
        {{ {{ head -c "$input"; exec >&-; guard ''; }} <&3 & }} | {{ exec "$@" 3<&-; }}
        ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Result:
    """Result of a command: ``status`` is negative for a signal; of the streams, their last 20 kB."""

    arguments: Sequence[str]
    status: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def ending(self) -> str:
        """End of the command in words."""
        return label_ending(self.status)

    @property
    def output(self) -> str:
        """Stream with the reason of its failure."""
        return select_output(self.stdout, self.stderr)

    @property
    def evidence(self) -> str:
        """Evidence: the command, how it ended, and the last lines that it wrote."""
        return evidence(self.arguments, self.ending, self.output)


class Tail:
    """Last bytes of a stream that may be endless."""

    __slots__ = ("_data", "_limit")

    def __init__(self, limit: int = OUTPUT_LIMIT) -> None:
        self._data = bytearray()
        self._limit = limit

    def add(self, data: bytes) -> None:
        self._data += data[-self._limit :]
        if len(self._data) > 2 * self._limit:
            del self._data[: -self._limit]

    def text(self) -> str:
        return self._data[-self._limit :].decode("utf-8", errors="replace")


def command_line(arguments: Sequence[str], run: str) -> str:
    """Text for the login shell of a node. ``run`` names this run for KILL_TEXT.

    ``exec``, because not every login shell replaces itself.
    """
    return f"export {RUN_VARIABLE}={shlex.quote(run)}; exec {shlex.join(arguments)}"


def guarded_command_line(
    arguments: Sequence[str], env: Mapping[str, str] | None, run: str, input: int | None
) -> str:
    """Text for a command that ends when the connection does. ``input`` counts its bytes; None: until its end.

    The variables travel in it because sshd's AcceptEnv refuses unknown ones. Those of the caller are set by
    ``env``, since shells keep some names for themselves (bash: UID). Only where there are any: to start one
    program more takes a slow node 25 ms.
    """
    variables = env or {}
    wrong = [name for name in variables if not _NAME.fullmatch(name)]
    if wrong:
        raise RemoteError(f"'{wrong[0]}' is not the name of a variable")
    assignments = ["env", *(f"{name}={value}" for name, value in variables.items())] if variables else []
    words = [*assignments, *arguments]
    if any("\0" in word for word in words):
        raise RemoteError(f"the command '{arguments[0]}' has a NUL byte in its arguments or variables")
    size = "all" if input is None else str(input)
    return command_line(["sh", "-c", GUARD_TEXT, "guard", run, size, KILL_TEXT, *words], run)


def describe_command(arguments: Sequence[str]) -> str:
    """Describe a command for messages: quoted, shortened, and without the text of our own scripts."""
    own = list(arguments[:2]) == ["sh", "-c"]
    return _quoted(["sh", "-c", "…", *arguments[3:]] if own else arguments, 120)


def evidence(arguments: Sequence[str], ending: str, written: str = "") -> str:
    """Evidence of a command that failed: its line, how it ended, and the last lines of what it wrote."""
    line = _quoted(["…" if "\n" in word else word for word in arguments], 300)
    return masked("\n".join([f"$ {line}", ending, *written.splitlines()[-EVIDENCE_LINES:]]))


def _quoted(words: Sequence[str], limit: int) -> str:
    text = " ".join(word if word == "…" else shlex.quote(word) for word in words)
    return text if len(text) <= limit else text[: limit - 1] + "…"
