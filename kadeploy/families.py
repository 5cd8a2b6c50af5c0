# SPDX-License-Identifier: Apache-2.0
"""Families: members that serve one protocol and are chosen by their names in files and requests.

A built-in member is the constant ``MEMBER`` of a module in the family's package, one file per member. A
plug-in of a site registers further ones. Families know their packages by name and load them when the first
member is asked for: so configuration can ask a member for the model of its settings, although the rooms
with the members stand above it. A room that needs more of its members than configuration does gives the same
family its own protocol by ``typing.cast``.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import abstractmethod
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from kadeploy.errors import ServiceError


class NamedMember(Protocol):
    """Member of a family; ``name`` is what files and requests call it."""

    @property
    @abstractmethod
    def name(self) -> str: ...


Member = TypeVar("Member", bound=NamedMember)


class Family(Generic[Member]):
    """Members of one package by their names.

    ``noun`` names a member in messages, as in "way of power". A module of the package that cannot be loaded
    raises ServiceError when a member is asked for.
    """

    def __init__(self, noun: str, package: str) -> None:
        self._noun = noun
        self._package = package
        self._loaded: dict[str, Member] = {}

    def register(self, member: Member) -> None:
        """Add a member; raises ValueError where the name is taken."""
        self._add(self._members(), member)

    def require(self, name: str) -> str:
        """Return the name of a member; raises ValueError with the known names for any other name."""
        if name not in self:
            raise ValueError(f"there is no {self._noun} '{name}'; there are {', '.join(self.names)}")
        return name

    def __getitem__(self, name: str) -> Member:
        """Member of a name; raises KeyError where there is none."""
        return self._members()[name]

    def __contains__(self, name: object) -> bool:
        return name in self._members()

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members().values())

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all members, the built-in ones first."""
        return tuple(self._members())

    def _members(self) -> dict[str, Member]:
        """Members by their names, the built-in ones in the order of their modules' names."""
        if not self._loaded:
            members: dict[str, Member] = {}
            for module in pkgutil.iter_modules(importlib.import_module(self._package).__path__):
                self._load(f"{self._package}.{module.name}", members)
            self._loaded = members
        return self._loaded

    def _load(self, module: str, members: dict[str, Member]) -> None:
        # Members are loaded while files are validated: there a ValueError would be a problem of the file.
        try:
            self._add(members, importlib.import_module(module).MEMBER)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise ServiceError(f"the {self._noun} of {module} cannot be loaded: {reason}") from error

    def _add(self, members: dict[str, Member], member: Member) -> None:
        if member.name in members:
            raise ValueError(f"there are two members named {member.name} of the family '{self._noun}'")
        members[member.name] = member
