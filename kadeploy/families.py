# SPDX-License-Identifier: Apache-2.0
"""Families: members that serve one protocol and are chosen by their names in files and requests.

A built-in member is the constant ``MEMBER`` of a module in the family's package, one file per member. A
plug-in of a site registers further ones. Families know their packages by name and load them when the first
member is asked for: so configuration can ask a member for the model of its settings, although the rooms
with the members stand above it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class NamedMember(Protocol):
    """Member of a family; ``name`` is what files and requests call it."""

    @property
    def name(self) -> str: ...


Member = TypeVar("Member", bound=NamedMember)

_registered: dict[str, dict[str, NamedMember]] = {}


class Family(Generic[Member]):
    """Members of one package by their names; all families of one package have the same members.

    ``noun`` names a member in messages, as in "way of power".
    """

    def __init__(self, noun: str, package: str) -> None:
        self.noun = noun
        self._package = package

    def register(self, member: Member) -> None:
        """Add a member; raises ValueError where the name is taken."""
        members = self._members()
        if member.name in members:
            raise ValueError(f"there are two members of {self._package} named {member.name}")
        members[member.name] = member

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
        members = _registered.get(self._package)
        if members is None:
            members = _registered[self._package] = {
                member.name: member for member in _load_members(self._package)
            }
        return members  # type: ignore[return-value] # whoever declares a family says what its members serve


def _load_members(package: str) -> Iterator[NamedMember]:
    """Built-in members of a package, in the order of their modules' names."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        yield importlib.import_module(f"{package}.{module.name}").MEMBER
