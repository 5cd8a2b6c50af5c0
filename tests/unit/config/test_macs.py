# SPDX-License-Identifier: Apache-2.0
"""MACs of nodes in clusters.conf."""

from __future__ import annotations

import pytest

from kadeploy.config.clusters import ClustersConfig
from kadeploy.config.yaml_file import parse_text
from kadeploy.errors import FileError


def load(mac: str, names: str = "n-[1-3]", more: str = "") -> list[str]:
    text = (
        "clusters:\n  - name: c\n    conf_file: c.conf\n    nodes:\n"
        f'      - {{name: "{names}", address: "10.0.0.[11-13]", mac: {mac}}}\n{more}'
    )
    return [node.mac for node in parse_text(text, "clusters.conf", ClustersConfig).expand().values()]


@pytest.mark.parametrize(
    "mac",
    [
        '"52:54:00:1f:00:[0e-10]"',
        '"52:54:00:1F:00:[0E-10]"',
        '[ "52-54-00-1F-00-0e", "52:54:00:1f:00:0f", "52:54:00:1f:00:10" ]',
        '[ "52:54:00:1f:00:0e", "52:54:00:1f:00:[0f-10]" ]',
    ],
)
def test_macs_are_paired_with_names(mac: str) -> None:
    assert load(mac) == [f"52:54:00:1f:00:{last}" for last in ("0e", "0f", "10")]


@pytest.mark.parametrize(
    ("mac", "reason"),
    [
        ('"52:54:00:1f:00:0e"', "3 names but 1 of 'mac'"),
        ('"52:54:00:1f:00:[0e-11]"', "3 names but 4 of 'mac'"),
        ('"52:54:00:1f:00:[10-0e]"', "empty range"),
        ('"52:54:00:1f:[00-02]:00"', "is no MAC"),
        ('["52:54:00:1f:00:0e", "52:54:00:1f:00:0e", "52:54:00:1f:00:10"]', "is given twice"),
        ('"52:54:00:1f:00"', "is no MAC"),
        ('"x2:54:00:1f:00:0e"', "is no MAC"),
        ('"ff:ff:ff:ff:ff:ff"', "is no MAC of a card"),
        ('"00:00:00:00:00:00"', "is no MAC of a card"),
        ('"01:00:5e:00:00:[01-03]"', "is no MAC of a card"),
        ("52:54:00:12:00:01", "3 names but 1 of 'mac'"),  # no number in base 60
        ("{a: b}", "write a MAC"),
    ],
)
def test_what_is_no_mac_is_refused(mac: str, reason: str) -> None:
    with pytest.raises(FileError, match=reason):
        load(mac)


def test_a_mac_belongs_to_one_node_of_the_site() -> None:
    more = '      - {name: "m", address: "10.0.0.20", mac: "52:54:00:1f:00:0f"}\n'
    with pytest.raises(FileError, match="52:54:00:1f:00:0f is given twice"):
        load('"52:54:00:1f:00:[0e-10]"', more=more)
