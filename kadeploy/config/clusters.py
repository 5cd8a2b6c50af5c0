# SPDX-License-Identifier: Apache-2.0
"""File clusters.conf: the nodes of each cluster, and their addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from kadeploy import nodes
from kadeploy.config.firmware import FirmwareKind
from kadeploy.config.macs import expand_macs
from kadeploy.config.yaml_file import FileModel
from kadeploy.errors import UsageError


@dataclass(frozen=True, slots=True)
class Node:
    """Machine with its name, address, address of its BMC (may be empty), name of its switch (too).

    ``mac``: of the card with which it boots, in lower case with colons; '' where the site does not tell.
    """

    name: str
    address: str
    bmc: str
    cluster: str
    switch: str = ""
    mac: str = ""
    firmware: FirmwareKind = FirmwareKind.BIOS

    @property
    def short_name(self) -> str:
        return self.name.partition(".")[0]


class NodeRange(FileModel):
    """Ranges of equal cardinality, paired in order: ``node-[1-10]`` with ``10.0.0.[1-10]``.

    ``mac``: of the cards with which the nodes boot, as in ``expand_macs``; empty where they are not told.
    ``firmware``: where it is another one than that of the cluster.
    """

    name: str
    address: str
    bmc: str = ""
    switch: str = ""
    mac: Annotated[tuple[str, ...], BeforeValidator(expand_macs)] = ()
    firmware: FirmwareKind | None = None

    @field_validator("name", "address", "bmc")
    @classmethod
    def _is_range(cls, value: str) -> str:
        try:
            if value:
                nodes.expand_range(value)
        except UsageError as error:
            raise ValueError(error.message) from None
        return value

    @field_validator("address")
    @classmethod
    def _are_addresses(cls, value: str) -> str:
        for address in nodes.expand_range(value):
            ip_address(address)
        return value

    @model_validator(mode="after")
    def _same_cardinality(self) -> Self:
        names = len(nodes.expand_range(self.name))
        for field, value in (("address", self.address), ("bmc", self.bmc)):
            if value and len(nodes.expand_range(value)) != names:
                raise ValueError(f"{names} names but {len(nodes.expand_range(value))} of '{field}'")
        if self.mac and len(self.mac) != names:
            raise ValueError(f"{names} names but {len(self.mac)} of 'mac'")
        return self

    def expand(self, cluster: str, firmware: FirmwareKind = FirmwareKind.BIOS) -> list[Node]:
        """Nodes of this range; ``firmware`` is that of the cluster."""
        names = nodes.expand_range(self.name)
        bmcs = nodes.expand_range(self.bmc) if self.bmc else [""] * len(names)
        macs = self.mac or [""] * len(names)
        addresses = nodes.expand_range(self.address)
        own = self.firmware or firmware
        return [
            Node(name, address, bmc, cluster, self.switch, mac, own)
            for name, address, bmc, mac in zip(names, addresses, bmcs, macs, strict=True)
        ]


class ClusterEntry(FileModel):
    """Cluster: its nodes, and the path of its file."""

    name: str
    prefix: str = ""
    conf_file: str
    nodes: list[NodeRange] = Field(min_length=1)


class ClustersConfig(FileModel):
    """Content of clusters.conf."""

    clusters: list[ClusterEntry] = Field(min_length=1)

    @model_validator(mode="after")
    def _nodes_are_unique(self) -> Self:
        seen: dict[str, str] = {}
        for entry in self.clusters:
            for node in (node for group in entry.nodes for node in group.expand(entry.name)):
                for identity in (node.name, node.address, node.mac):
                    if identity and identity in seen:
                        raise ValueError(f"{identity} is given twice ({seen[identity]} and {entry.name})")
                    seen[identity] = entry.name
        return self

    def expand(self, firmware: Mapping[str, FirmwareKind] | None = None) -> dict[str, Node]:
        """Nodes of the site by name; ``firmware`` maps names of clusters to that of their machines."""
        kinds = firmware or {}
        return {
            node.name: node
            for entry in self.clusters
            for group in entry.nodes
            for node in group.expand(entry.name, kinds.get(entry.name, FirmwareKind.BIOS))
        }
