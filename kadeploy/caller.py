# SPDX-License-Identifier: Apache-2.0
"""Caller: the user on whose behalf something is done."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """Caller with the names of the groups that it belongs to."""

    name: str
    groups: frozenset[str] = frozenset()

    @classmethod
    def of_process(cls) -> Caller:
        """User who runs this process; no option and no variable of the environment can change it."""
        groups = {os.getgid(), *os.getgroups()}
        return cls(_user_name(os.getuid()), frozenset(map(_group_name, groups)))

    @classmethod
    def of_name(cls, name: str) -> Caller:
        """User of this name, without groups where the databases do not know him any more."""
        try:
            return cls.of_user(pwd.getpwnam(name).pw_uid)
        except KeyError:
            return cls(name)

    @classmethod
    def of_user(cls, uid: int) -> Caller:
        """User with this number, with the groups that the databases of users and groups give him."""
        try:
            entry = pwd.getpwuid(uid)
        except KeyError:
            return cls(str(uid))
        numbers = os.getgrouplist(entry.pw_name, entry.pw_gid)
        return cls(entry.pw_name, frozenset(map(_group_name, numbers)))


def _user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
