# SPDX-License-Identifier: Apache-2.0
"""Any text or bytes that a user gives to a parser: a value or a refusal, in a sentence of bounded length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kadeploy import nodes
from kadeploy.config import yaml_file
from kadeploy.config.automata import parse_force_steps
from kadeploy.config.cluster import ClusterConfig
from kadeploy.config.clusters import ClustersConfig
from kadeploy.config.custom_steps import CustomSteps
from kadeploy.config.expression import Expression
from kadeploy.config.macs import expand_macs
from kadeploy.config.server import ServerConfig
from kadeploy.disks.layout import parse_size
from kadeploy.environments import source
from kadeploy.errors import KadeployError
from kadeploy.operations import public_keys
from kadeploy.simulation.file import SimulationFile
from tests.nightly import examples

MOST = 2000  # examples of a parser by night
LONGEST = 20_000  # characters of a refusal


def model(wanted: type[Any]) -> Callable[[bytes], object]:
    return lambda content: yaml_file.parse_text(content.decode(errors="replace"), "f", wanted)


PARSERS: dict[str, Callable[[bytes], object]] = {
    "description": lambda content: source.parse(content, "f"),
    "old description": lambda content: source.parse(b"tarball : a|tgz\n" + content, "f"),
    "keys": lambda content: public_keys.read(content, "f"),
    "nodes": lambda content: nodes.parse(content.decode(errors="replace")),
    "node ranges": lambda content: nodes.expand_range(content.decode(errors="replace")),
    "timeout": lambda content: Expression(content.decode(errors="replace")),
    "automaton": lambda content: parse_force_steps(content.decode(errors="replace")),
    "macs": lambda content: expand_macs(content.decode(errors="replace")),
    "size": lambda content: parse_size(content.decode(errors="replace")),
    "server.conf": model(ServerConfig),
    "clusters.conf": model(ClustersConfig),
    "cluster.conf": model(ClusterConfig),
    "custom steps": model(CustomSteps),
    "simulation": model(SimulationFile),
}
WORDS = [
    *(
        "name",
        "version",
        "image",
        "file",
        "kind",
        "tar",
        "os",
        "linux",
        "steps",
        "nodes",
        "network",
        "ports",
        "http",
    ),
    *(
        "clusters",
        "conf_file",
        "address",
        "mac",
        "remoteops",
        "reboot",
        "cmd",
        "exec",
        "BroadcastEnv",
        "sync",
        "max(",
    ),
    *(
        "node-",
        "[1-3]",
        "[1-999999999]",
        "0x10",
        "010",
        "1:30",
        "9" * 30,
        "-1",
        "1e9",
        "n",
        "log2(n)",
        "**",
        "MiB",
        "rest",
    ),
    *(
        "ssh-ed25519 AAAA",
        "<html>",
        "|",
        "&",
        "*a",
        ": ",
        "- ",
        "\n",
        " ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "/",
        "%",
        "''",
        "\x1b",
        "\0",
    ),
]
CONTENT = st.binary(max_size=60) | st.lists(st.sampled_from(WORDS), max_size=14).map(
    lambda words: "".join(words).encode()
)


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=min(examples(60), MOST), deadline=None)
@given(content=CONTENT)
def test_any_content_is_read_or_refused(name: str, content: bytes) -> None:
    try:
        PARSERS[name](content)
    except KadeployError as error:
        assert 0 < len(error.message) < LONGEST
    except ValueError as error:  # of a value of a file: its model makes a problem of it
        assert name in ("timeout", "macs") and 0 < len(str(error)) < LONGEST
