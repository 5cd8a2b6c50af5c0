# SPDX-License-Identifier: Apache-2.0
"""Remote operations of a cluster's file: by which ways of power its machines are switched.

Each way has the models of its entries and of its account, so that all keys are known when a file is read.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import (
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_serializer,
    model_validator,
)

from kadeploy.config.placeholders import OF_NODE, split_command
from kadeploy.config.problems import Problem, validate, validate_parts
from kadeploy.config.yaml_file import FileModel
from kadeploy.families import Family, NamedMember

Level = Literal["soft", "hard", "very_hard"]
LEVELS: tuple[Level, ...] = ("soft", "hard", "very_hard")

DEFAULT_METHOD = "command"


class PowerAction(StrEnum):
    """Actions on a machine's power; each is the name of a list in remoteops."""

    REBOOT = "reboot"
    POWER_ON = "power_on"
    POWER_OFF = "power_off"
    STATUS = "power_status"


class PowerWaySetting(FileModel):
    """Entry of a list: a way of power at a level of force, with a ``timeout`` in seconds.

    A way that has more keys has a model that is derived from this one.
    """

    name: Level = "soft"
    method: str = DEFAULT_METHOD
    timeout: float = Field(default=30, gt=0)

    @field_validator("method")
    @classmethod
    def _is_known(cls, method: str) -> str:
        return POWER_WAYS.require(method)

    @property
    def asks_system(self) -> bool:
        """True for a way that asks the running system of a machine."""
        return POWER_WAYS[self.method].asks_system


class ConfiguredWay(NamedMember, Protocol):
    """Way of power, as far as files are concerned.

    Its name is what ``method`` gives in an entry, and the key of its account.
    """

    @property
    @abstractmethod
    def setting(self) -> type[PowerWaySetting]:
        """Model of its entries."""

    @property
    @abstractmethod
    def account(self) -> type[FileModel] | None:
        """Model of the settings that all its entries share, for instance of a user; None for none."""

    @property
    @abstractmethod
    def actions(self) -> Collection[PowerAction]:
        """Actions that it can do."""

    @property
    @abstractmethod
    def asks_system(self) -> bool:
        """True if it asks the running system, of which a machine that is off has none."""


POWER_WAYS: Family[ConfiguredWay] = Family("way of power", "kadeploy.power.ways")


class _UnknownWaySetting(PowerWaySetting):
    """Entry of a way that does not exist, whose keys nobody knows either."""

    model_config = ConfigDict(extra="ignore")


def _read_entry(data: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> PowerWaySetting:
    """Validate an entry by the model of its way, and that the way can do what the list is for."""
    if isinstance(data, PowerWaySetting) or not isinstance(data, Mapping):
        return handler(data)  # type: ignore[no-any-return] # what the annotation says
    method = data.get("method", DEFAULT_METHOD)
    if not isinstance(method, str) or method not in POWER_WAYS:
        return _UnknownWaySetting.model_validate(data)
    assert info.field_name is not None
    found = _find_incapable(POWER_WAYS[method], PowerAction(info.field_name))
    return validate(data, POWER_WAYS[method].setting.model_validate, found)


def _find_incapable(way: ConfiguredWay, action: PowerAction) -> Iterator[Problem]:
    if action not in way.actions:
        able = ", ".join(other.name for other in POWER_WAYS if action in other.actions)
        yield ("method",), f"method {way.name} cannot do {action}; there are {able}"


Entry = Annotated[SerializeAsAny[PowerWaySetting], WrapValidator(_read_entry)]


class RemoteOperations(FileModel):
    """Ways to switch machines, which are tried from their level upwards, and the accounts of these ways.

    The key of an account is the name of its way.
    """

    reboot: tuple[Entry, ...] = Field(min_length=1, max_length=3)
    power_on: tuple[Entry, ...] = Field(default=(), max_length=3)
    power_off: tuple[Entry, ...] = Field(default=(), max_length=3)
    power_status: tuple[Entry, ...] = Field(default=(), max_length=1)
    console: str = ""

    @field_validator("console")
    @classmethod
    def _is_a_command(cls, console: str) -> str:
        if console:
            split_command(console, OF_NODE)
        return console

    _accounts: dict[str, FileModel] = PrivateAttr(default_factory=dict)

    def entries(self, action: PowerAction) -> tuple[PowerWaySetting, ...]:
        """Entries of the list of an action."""
        entries: tuple[PowerWaySetting, ...] = getattr(self, action)
        return entries

    def account(self, method: str) -> FileModel | None:
        """Account of a way; None where it has none, or where it is not used."""
        return self._accounts.get(method)

    @property
    def asks_system(self) -> bool:
        """True if any entry asks the running system of a machine."""
        return any(entry.asks_system for entry in self._all_entries())

    def _all_entries(self) -> Iterator[PowerWaySetting]:
        for action in PowerAction:
            yield from self.entries(action)

    @model_validator(mode="wrap")
    @classmethod
    def _read_accounts(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, Mapping):
            return handler(data)
        models = {way.name: way.account for way in POWER_WAYS if way.account is not None}
        others = {key: value for key, value in data.items() if key not in models}
        parts = {name: (model, data[name]) for name, model in models.items() if data.get(name) is not None}
        operations, accounts = validate_parts(others, handler, parts)
        operations._accounts.update(accounts)
        operations._complete_accounts()
        return operations

    @model_serializer(mode="wrap")
    def _write_accounts(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {**handler(self), **self._accounts}

    def _complete_accounts(self) -> None:
        """Give each used way that has no account its defaults; raises ValueError where it needs more."""
        for entry in self._all_entries():
            model = POWER_WAYS[entry.method].account
            if model is None or entry.method in self._accounts:
                continue
            required = [name for name, field in model.model_fields.items() if field.is_required()]
            if required:
                raise ValueError(
                    f"method {entry.method} needs '{entry.method}: {{{', '.join(required)}: …}}'"
                )
            self._accounts[entry.method] = model()
