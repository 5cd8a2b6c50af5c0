# SPDX-License-Identifier: Apache-2.0
"""Program of the relay, sent as text on standard input to a node that has only python3-minimal.

``ARGUMENTS`` start an interpreter that reads the length of the program from the first input line, and then
the program; ``program`` gives both. The modules in it keep the names by which they import each other, so that
what runs on the nodes is the code the tests import.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

PACKAGE = "kadeploy.broadcast.node"
MODULES = (
    "wire",
    "peer_connection",
    "handshake",
    "probe",
    "listener",
    "ring",
    "source",
    "roots",
    "verifier",
    "socket_reader",
    "consumer",
    "feeders",
    "hunger",
    "receiver",
    "pace",
    "forwarder",
    "lane",
    "neighbours",
    "succession",
    "relay",
)  # each after those it imports

# exec of our own text: nothing has to be written to the node's disk, and no argument shows what runs.
ARGUMENTS = (
    "python3",
    "-ISc",
    "import sys; b = sys.stdin.buffer; exec(compile(b.read(int(b.readline())), 'relay', 'exec'))",
)

_LOADER = """
import sys, types
for name, text in {modules!r}:
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), module.__dict__)
sys.modules["{package}.relay"].main()
"""


@cache
def program() -> bytes:
    """Bytes to send first to the standard input of ``ARGUMENTS``."""
    folder = files(PACKAGE)
    modules = [(f"{PACKAGE}.{name}", (folder / f"{name}.py").read_text("utf-8")) for name in MODULES]
    text = _LOADER.format(modules=modules, package=PACKAGE).encode()
    return b"%d\n%b" % (len(text), text)
