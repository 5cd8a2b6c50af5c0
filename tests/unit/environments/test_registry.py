# SPDX-License-Identifier: Apache-2.0
"""Who sees which recorded environment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from kadeploy.environments import registry
from kadeploy.environments.compression import Compression
from kadeploy.environments.environment import Environment, Image, System, Visibility
from kadeploy.environments.registry import Viewer
from kadeploy.errors import NotFoundError, RefusedError
from kadeploy.store.store import Store

ALMIGHTY = frozenset({"root", "deploy"})

# name, version, owner, visibility
RECORDED = [
    ("debian12", 1, "deploy", "public"),
    ("debian12", 3, "deploy", "public"),
    ("debian12", 2, "alice", "private"),
    ("mine", 1, "alice", "private"),
    ("lent", 1, "alice", "shared"),
    ("lent", 2, "alice", "private"),
    ("my_own", 1, "bob", "private"),
    ("myXown", 1, "bob", "shared"),
    ("twice", 1, "deploy", "public"),
    ("twice", 1, "root", "public"),
]


def environment(
    name: str, version: int = 1, owner: str = "alice", visibility: str = "private"
) -> Environment:
    image = Image("/i.tgz", "dd", Compression.GZIP)
    return Environment(
        name, owner, System.LINUX, image=image, version=version, visibility=Visibility(visibility)
    )


def viewer(name: str) -> Viewer:
    return Viewer(name, name in ALMIGHTY)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "store.sqlite") as opened:
        for row in RECORDED:
            await registry.add(opened, environment(*row))
        yield opened


@pytest.mark.parametrize(
    ("who", "owner", "pattern", "expected"),
    [
        ("carol", None, None, "debian12:3@deploy twice:1@deploy twice:1@root"),
        ("alice", None, None, "debian12:3@deploy twice:1@deploy twice:1@root debian12:2@alice lent:2@alice"
         " mine:1@alice"),
        ("carol", "alice", None, "lent:1@alice"),
        ("carol", "bob", None, "myXown:1@bob"),
        ("alice", "alice", None, "debian12:2@alice lent:2@alice mine:1@alice"),
        ("carol", "*", None, "debian12:3@deploy twice:1@deploy twice:1@root lent:1@alice myXown:1@bob"),
        ("root", "alice", None, "debian12:2@alice lent:2@alice mine:1@alice"),
        ("root", None, "lent", "lent:2@alice"),
        ("carol", None, "debian%", "debian12:3@deploy"),
        ("bob", None, "my_own", "my_own:1@bob"),
        ("carol", None, "debian", ""),
        ("carol", "nobody", None, ""),
    ],
)  # fmt: skip
async def test_what_is_listed(
    store: Store, who: str, owner: str | None, pattern: str | None, expected: str
) -> None:
    found = await registry.list_visible(store, viewer(who), owner=owner, pattern=pattern)

    assert " ".join(f"{item.label}@{item.owner}" for item in found) == expected


async def test_all_versions_are_listed_on_demand(store: Store) -> None:
    found = await registry.list_visible(store, viewer("carol"), pattern="debian12", all_versions=True)

    assert [item.version for item in found] == [1, 3]


@pytest.mark.parametrize(
    ("who", "name", "owner", "version", "expected"),
    [
        ("carol", "debian12", None, None, "debian12:3@deploy"),
        ("carol", "debian12", "deploy", 1, "debian12:1@deploy"),
        ("alice", "debian12", None, None, "debian12:2@alice"),  # one's own before a public one
        ("alice", "debian12", None, 3, "debian12:3@deploy"),  # unless only that one has the version
        ("carol", "lent", "alice", None, "lent:1@alice"),  # version 2 is private
        ("root", "mine", None, None, "mine:1@alice"),
        ("carol", "twice", "root", None, "twice:1@root"),
        ("deploy", "twice", None, None, "twice:1@deploy"),
    ],
)
async def test_what_a_name_means(
    store: Store, who: str, name: str, owner: str | None, version: int | None, expected: str
) -> None:
    found = await registry.find(store, name, viewer(who), owner=owner, version=version)

    assert f"{found.label}@{found.owner}" == expected


@pytest.mark.parametrize(
    ("name", "owner", "version", "message", "hint"),
    [
        ("mine", None, None, "there is no environment mine", "`list_environments`"),
        ("mine", "alice", None, "there is no environment mine of alice", "`list_environments`"),
        ("lent", None, None, "there is no environment lent", "`list_environments`"),
        ("debian11", None, None, "there is no environment debian11", "did you mean debian12?"),
        ("debian%", None, None, "there is no environment debian%", "did you mean debian12?"),
        ("debian12", None, 2, "has no version 2", "there is 1 of deploy, 3 of deploy"),
        ("lent", "alice", 2, "has no version 2", "there is 1 of alice"),
    ],
)
async def test_what_is_not_found_by_a_stranger(
    store: Store, name: str, owner: str | None, version: int | None, message: str, hint: str
) -> None:
    with pytest.raises(NotFoundError) as caught:
        await registry.find(store, name, viewer("carol"), owner=owner, version=version)

    assert message in caught.value.message
    assert hint in caught.value.hint


async def test_a_name_of_several_owners_is_refused(store: Store) -> None:
    with pytest.raises(RefusedError, match="ambiguous: deploy, root") as caught:
        await registry.find(store, "twice", viewer("carol"))

    assert "`owner` deploy" in caught.value.hint


async def test_what_exists_is_not_added_again(store: Store) -> None:
    for adding in (registry.check_new, registry.add):
        with pytest.raises(RefusedError, match="mine:1 of alice exists already"):
            await adding(store, environment("mine"))


async def test_what_was_removed_is_not_found(store: Store) -> None:
    lent = await registry.find(store, "lent", viewer("carol"), owner="alice")
    await registry.remove(store, [lent])
    with pytest.raises(NotFoundError):
        await registry.find(store, "lent", viewer("carol"), owner="alice")


async def test_one_change_that_fails_undoes_the_others(store: Store) -> None:
    lent = await registry.find(store, "lent", viewer("alice"), version=1)
    changed = [replace(lent, destructive=True), replace(lent, version=9)]

    with pytest.raises(NotFoundError, match="lent:9 of alice was deleted"):
        await registry.replace_recorded(store, changed)

    assert not (await registry.find(store, "lent", viewer("alice"), version=1)).destructive
