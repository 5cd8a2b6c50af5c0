# SPDX-License-Identifier: Apache-2.0
"""Requests: what a user asks for, in operations of all kinds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, ConfigDict, Field, Strict, StringConstraints, field_validator

from kadeploy.config.expression import Expression
from kadeploy.errors import RequestError, RequestProblem
from kadeploy.nodes import MAX_NODES, fold
from kadeploy.operations.public_keys import MAX_KEYS, private_line
from kadeploy.operations.request_model import RequestModel, problem

if TYPE_CHECKING:
    from kadeploy.config.cluster import ClusterConfig

DAY = 24 * 3600.0
MAX_HOLD = 36_525 * DAY  # a hundred years: the end must be a date
MIN_HOLD = 60.0  # seconds; a shorter time is over before anybody has looked
MAX_TEXT = 4096  # characters of any other text of one line

Flag = Annotated[bool, Strict()]
Line = Annotated[str, StringConstraints(max_length=MAX_TEXT, pattern=r"^[^\x00-\x1f\x7f]*$")]
PartitionNumber = Annotated[int, Field(strict=True, ge=1, le=128)]
HoldSeconds = Annotated[float, Field(strict=True, ge=MIN_HOLD, le=MAX_HOLD, allow_inf_nan=False)]


def _check_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise problem(f"{fold(twice)} named more than once")
    return names


NodeName = Annotated[str, StringConstraints(min_length=1, max_length=255)]
NodeNames = Annotated[tuple[NodeName, ...], Field(max_length=MAX_NODES), AfterValidator(_check_once)]


def _check_keys(text: str) -> str:
    size = len(text.encode())
    if size > MAX_KEYS:
        raise problem(f"{size} bytes are more than {MAX_KEYS}")
    if text and (not text.strip() or private_line(text)):
        raise problem("holds no public keys")
    return text  # its lines are checked where the request comes in, not again where it is read


PublicKeys = Annotated[str, AfterValidator(_check_keys)]


@dataclass(frozen=True, slots=True)
class EnvironmentName:
    """A recorded environment: its owner and version where the user named them."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: Annotated[Line, Field(min_length=1)]
    owner: Line | None = None
    version: Annotated[int, Field(strict=True, ge=0)] | None = None


class Request(RequestModel):
    """Request of any kind.

    ``force``: take nodes that others use; ``hold_seconds``: how long held nodes stay leased.
    """

    user: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    nodes: NodeNames
    force: Flag = False
    hold_seconds: HoldSeconds = DAY

    @field_validator("nodes")
    @classmethod
    def _name_one(cls, nodes: tuple[str, ...]) -> tuple[str, ...]:
        if not nodes:
            raise problem("no node is chosen")
        return nodes

    @property
    def claimed_nodes(self) -> tuple[str, ...]:
        """Nodes for which the caller needs the right."""
        return self.nodes

    def claimed_devices(self, cluster: ClusterConfig) -> tuple[str, ...]:
        """Devices of nodes of a cluster for which the caller needs the right, too."""
        return ()

    @property
    def given_keys(self) -> str:
        """Text of authorized_keys that nodes get, '' for none."""
        return ""

    @property
    def takes_nodes(self) -> bool:
        """Report that the operation has its nodes for itself, and changes what is known of them."""
        return True

    @property
    def environment_label(self) -> str:
        """Environment that the nodes get, as name:version; '' where they get none, or it is only named."""
        return ""

    def to_json(self) -> dict[str, Any]:
        """The request in JSON values, but for its user."""
        return self.model_dump(mode="json", exclude={"user"})

    @classmethod
    def from_json(cls, document: Mapping[str, Any], user: str) -> Self:
        """Request of a user in JSON values; raises RequestError."""
        if "user" in document:
            raise RequestError([RequestProblem("user", "is not known here")])
        return cls.model_validate({**document, "user": user})

    @classmethod
    def from_record(cls, record: Mapping[str, Any], user: str) -> Self:
        """Request that the store keeps as ``to_json`` gave it.

        Raises KeyError, TypeError, ValueError or RequestError for what this version cannot read.
        """
        return cls.from_json(record, user)


def check_seconds(expression: Expression, nodes: tuple[str, ...]) -> Expression:
    """Check for a validator that an expression has a value for so many nodes."""
    try:
        expression.seconds(len(nodes))
    except ValueError as error:
        raise problem(str(error)) from None
    return expression
