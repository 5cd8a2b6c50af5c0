# SPDX-License-Identifier: Apache-2.0
"""Rules by which a tree's ssh server lets root in with a key: what is in its way, and where keys belong."""

from __future__ import annotations

import os
import stat
from fnmatch import fnmatchcase
from pathlib import Path

from kadeploy.disks.tree.accounts import Root, is_private_group
from kadeploy.disks.tree.image import ImageFault, ImageTree, is_volatile, lines_of
from kadeploy.disks.tree.sshd_config import Login, Settings, matches, matches_address

USUAL = ".ssh/authorized_keys"
_NO_SHELLS = ("nologin", "false")
# Names of algorithms by which a key of the type proves itself.
_ALGORITHMS = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")}


def check_login(tree: ImageTree, root: Root, settings: Settings, login: Login) -> None:
    """Raise ImageFault if sshd lets nobody in as root by a key."""
    problem = _settings_problem(settings) or _list_problem(settings, login) or _shell_problem(tree, root)
    if not problem and root.locked and _first(settings, "usepam", "no") != "yes":
        problem = "does not let root in: its password is locked, and UsePAM is no"
    if problem:
        raise ImageFault(f"sshd of {tree.owner} {problem}")


def _settings_problem(settings: Settings) -> str:
    if _first(settings, "pubkeyauthentication", "yes") == "no":
        return "lets nobody in by a key (PubkeyAuthentication no)"
    permitted = _first(settings, "permitrootlogin", "prohibit-password")
    if permitted in ("no", "forced-commands-only"):
        return f"does not let root in (PermitRootLogin {permitted})"
    methods = settings.get("authenticationmethods", ["any"])
    if not {"any", "publickey"} & {method.lower() for method in methods}:
        return f"lets nobody in by a key alone (AuthenticationMethods {' '.join(methods)})"
    return ""


def _list_problem(settings: Settings, login: Login) -> str:
    if _names_root(settings.get("denyusers", []), login):
        return "does not let root in (DenyUsers)"
    if "allowusers" in settings and not _names_root(settings["allowusers"], login):
        return "does not let root in (AllowUsers)"
    if _names_group(settings.get("denygroups", []), login):
        return "does not let root in (DenyGroups)"
    if "allowgroups" in settings and not _names_group(settings["allowgroups"], login):
        return "does not let root in (AllowGroups)"
    return ""


def _names_root(patterns: list[str], login: Login) -> bool:
    for pattern in patterns:
        user, at, host = pattern.rpartition("@")
        if matches(user if at else pattern, "root") and (not at or matches_address(host, login.client)):
            return True
    return False


def _names_group(patterns: list[str], login: Login) -> bool:
    return any(matches(pattern, group) for pattern in patterns for group in login.groups)


def _shell_problem(tree: ImageTree, root: Root) -> str:
    if not tree.is_program(root.shell):
        return f"does not let root in: there is no shell {root.shell}"
    if Path(root.shell).name in _NO_SHELLS:
        return f"does not let root in: its shell is {root.shell}"
    return ""


def check_algorithms(tree: ImageTree, settings: Settings, types: set[str]) -> None:
    """Raise ImageFault if sshd accepts keys of none of these types."""
    accepted = settings.get("pubkeyacceptedalgorithms") or settings.get("pubkeyacceptedkeytypes")
    if accepted and types and not any(_is_accepted(kind, accepted[0]) for kind in types):
        raise ImageFault(
            f"sshd of {tree.owner} accepts no key of the type {', '.join(sorted(types))} "
            f"(PubkeyAcceptedAlgorithms {accepted[0]})"
        )


def _is_accepted(kind: str, accepted: str) -> bool:
    names = _ALGORITHMS.get(kind, (kind,))
    named = [any(fnmatchcase(name, one) for one in accepted.lstrip("+-^").split(",")) for name in names]
    if accepted[0] in "+^":
        return True  # more than by default
    return not all(named) if accepted[0] == "-" else any(named)


def files_of_keys(tree: ImageTree, root: Root, settings: Settings) -> list[str]:
    """Files in which sshd looks for keys of root; raises ImageFault if there are none."""
    patterns = settings.get("authorizedkeysfile", [USUAL])
    if [pattern.lower() for pattern in patterns] == ["none"]:
        raise ImageFault(f"sshd of {tree.owner} looks for keys in no file (AuthorizedKeysFile none)")
    return [_expanded(pattern, root) for pattern in patterns]


def _expanded(pattern: str, root: Root) -> str:
    """Path that a pattern names (sshd_config(5), TOKENS)."""
    values = {"%%": "%", "%h": root.home, "%u": "root", "%U": "0"}
    parts, rest = [], pattern
    while rest:
        token = rest[:2]
        parts.append(values.get(token, rest[0]))
        rest = rest[2:] if token in values else rest[1:]
    path = "".join(parts)
    return path if path.startswith("/") else f"{root.home}/{path}"


def check_file(tree: ImageTree, path: str, root: Root, strict: bool) -> None:
    """Raise ImageFault if sshd would not read this file of keys (OpenSSH, misc.c, safe_path)."""
    place, home = tree.resolve(path), tree.resolve(root.home or "/")
    if is_volatile(place):
        raise ImageFault(f"{path} of {tree.owner} leads to {place}, which is another one when it has booted")
    covering = _covering_mount(tree, place)
    if covering:
        raise ImageFault(f"{path} of {tree.owner} is covered by what its fstab mounts on {covering}")
    for one in (place, *place.parents) if strict else ():
        state = one.stat()
        if state.st_uid != 0:
            raise ImageFault(_refusal(tree, place, f"{one} belongs to user {state.st_uid}, not to root"))
        if _may_be_written(tree, state):
            mode = stat.S_IMODE(state.st_mode)
            raise ImageFault(_refusal(tree, place, f"{one} may be written by others than root ({mode:04o})"))
        if one == home:
            break


def _may_be_written(tree: ImageTree, state: os.stat_result) -> bool:
    """Check whether others than root may write; Debian's sshd lets root alone be in a group that may."""
    if state.st_mode & 0o020 and _is_debian(tree) and is_private_group(tree, state.st_gid):
        return bool(state.st_mode & 0o002)
    return bool(state.st_mode & 0o022)


def _is_debian(tree: ImageTree) -> bool:
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        for line in lines_of(tree.read(path)):
            key, _, value = line.partition("=")
            if key in ("ID", "ID_LIKE") and "debian" in value.strip("\"'").split():
                return True
    return False


def _refusal(tree: ImageTree, place: Path, reason: str) -> str:
    return f"sshd of {tree.owner} does not read {place}: {reason}"


def _covering_mount(tree: ImageTree, place: Path) -> str:
    """Directory on which the tree's fstab mounts another file system over a place, '' for none."""
    for line in lines_of(tree.read("/etc/fstab")):
        words = line.split()
        if len(words) < 4 or words[0].startswith("#") or words[1] in ("/", "none", "swap"):
            continue
        if {"noauto", "nofail"} & set(words[3].split(",")):
            continue
        if tree.resolve(words[1]) in place.parents:
            return words[1]
    return ""


def _first(settings: Settings, keyword: str, default: str) -> str:
    return settings.get(keyword, [default])[0].lower()
