# SPDX-License-Identifier: Apache-2.0
"""Requests to deploy, and their form in the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    Field,
    PlainSerializer,
    PlainValidator,
    TypeAdapter,
    ValidationInfo,
    field_validator,
)

from kadeploy.config.automata import MacroSteps
from kadeploy.config.cluster import ClusterConfig
from kadeploy.config.custom_steps import CustomSteps
from kadeploy.config.expression import Expression, TimeoutExpression
from kadeploy.disks.layout import Role, layout_of, partition_device
from kadeploy.environments import description
from kadeploy.environments.environment import Environment
from kadeploy.environments.model import DescriptionModel
from kadeploy.errors import FileError, RequestError, RequestProblem
from kadeploy.nodes import MAX_NODES, fold
from kadeploy.operations.enough import parse_min_ok
from kadeploy.operations.request import (
    EnvironmentName,
    Flag,
    Line,
    NodeNames,
    PartitionNumber,
    PublicKeys,
    Request,
    check_seconds,
)
from kadeploy.operations.request_model import problem

NO_CUSTOM_STEPS = CustomSteps({})
MAX_BREAKPOINTS = 1000

_NAMES = TypeAdapter(EnvironmentName)


def _read_environment(value: Any, info: ValidationInfo) -> EnvironmentName | Environment:
    """A name, or a description, which becomes an environment of the request's user."""
    if isinstance(value, EnvironmentName | Environment):
        return value
    if not isinstance(value, Mapping) or "image" not in value:
        return _NAMES.validate_python(value)
    text = json.dumps(value, ensure_ascii=False)
    try:  # JSON is YAML: all checks of a description are those of its file
        return description.parse(text, "").environment(info.data.get("user", ""))
    except FileError as error:
        raise problem("; ".join(found.message for found in error.problems)) from None


def _write_environment(value: EnvironmentName | Environment) -> dict[str, Any]:
    return asdict(value) if isinstance(value, EnvironmentName) else description.to_mapping(value)


def _write_model(model: BaseModel | None) -> Any:
    """A model as its file would have it: which keys are given means something."""
    return model and model.model_dump(mode="json", by_alias=True, exclude_unset=True)


WantedEnvironment = Annotated[
    EnvironmentName | Environment,
    PlainValidator(_read_environment, json_schema_input_type=EnvironmentName | DescriptionModel),
    PlainSerializer(_write_environment),
]
AsInFile = PlainSerializer(_write_model)


class DeploymentRequest(Request):
    """Request of a deployment.

    ``keys``: text of authorized_keys; ``partition``: a number, None for the cluster's own, or for the
    whole disk where ``block_device`` is given; ``automaton`` replaces the cluster's; ``breakpoints``:
    each ``Macro`` or ``Macro:micro``; ``hold_failures``: hold nodes where they fail; ``spares``: nodes that
    take the places of failed ones; ``min_ok``: how many nodes are enough, None for all of them, also given as
    a percentage; ``stop_at_min_ok``: end then; ``deadline``: end after these seconds, where ``n`` is the
    number of nodes, 0 for never, None for what the site says; ``custom_steps`` name files by absolute paths
    or by URLs.
    """

    environment: WantedEnvironment
    keys: PublicKeys = ""
    block_device: Line = ""
    partition: PartitionNumber | None = None
    reformat_tmp: Line = ""
    automaton: Annotated[MacroSteps | None, AsInFile] = None
    breakpoints: Annotated[tuple[Line, ...], Field(max_length=MAX_BREAKPOINTS)] = ()
    hold_failures: Flag = False
    spares: NodeNames = ()
    min_ok: int | None = None
    stop_at_min_ok: Flag = False
    deadline: TimeoutExpression | None = None
    kexec: Flag = True
    partition_disks: Flag = True
    install_bootloader: Flag = True
    custom_steps: Annotated[CustomSteps, AsInFile] = NO_CUSTOM_STEPS

    @field_validator("spares")
    @classmethod
    def _are_others(cls, spares: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if both := set(spares) & set(info.data.get("nodes", ())):
            raise problem(f"{fold(both)} chosen already")
        return spares

    @field_validator("min_ok", mode="plain", json_schema_input_type=int | str | None)
    @classmethod
    def _count(cls, value: object, info: ValidationInfo) -> int | None:
        nodes = info.data.get("nodes")
        count = MAX_NODES if nodes is None else len(nodes)
        return None if value is None else parse_min_ok(value, count)

    @field_validator("stop_at_min_ok")
    @classmethod
    def _needs_min_ok(cls, stop: bool, info: ValidationInfo) -> bool:
        if stop and info.data.get("min_ok", 1) is None:
            raise problem("needs `min_ok`")
        return stop

    @field_validator("deadline")
    @classmethod
    def _has_a_value(cls, deadline: Expression | None, info: ValidationInfo) -> Expression | None:
        return deadline and check_seconds(deadline, info.data.get("nodes", ("",)))

    @property
    def given_keys(self) -> str:
        return self.keys

    @property
    def claimed_nodes(self) -> tuple[str, ...]:
        return (*self.nodes, *self.spares)

    def claimed_devices(self, cluster: ClusterConfig) -> tuple[str, ...]:
        """Device that gets the image, as ``disk.target`` has it; images for several are refused."""
        disk = self.block_device or cluster.partitioning.block_device
        if self.partition is not None:
            return (partition_device(disk, self.partition),)
        if self.block_device:
            return (disk,)
        return (layout_of(cluster.partitioning).device(Role.DEPLOY) or disk,)

    @property
    def environment_label(self) -> str:
        return self.environment.label if isinstance(self.environment, Environment) else ""

    def to_json(self) -> dict[str, Any]:
        """The request in JSON values, but for its user; with the owner of a described environment."""
        document = super().to_json()
        if isinstance(self.environment, Environment):
            document["environment_owner"] = self.environment.owner
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any], user: str) -> Self:
        """Request of a user in JSON values; an environment that it describes is the user's."""
        if "environment_owner" in document:
            raise RequestError([RequestProblem("environment_owner", "is not known here")])
        return super().from_json(document, user)

    @classmethod
    def from_record(cls, record: Mapping[str, Any], user: str) -> Self:
        fields = dict(record)
        owner = fields.pop("environment_owner")
        fields["environment"] = description.from_mapping(fields["environment"], owner)
        return super().from_record(fields, user)
