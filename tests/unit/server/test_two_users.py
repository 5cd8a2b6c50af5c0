# SPDX-License-Identifier: Apache-2.0
"""Two users of one machine: what one records the other sees and changes as far as he may, and no further."""

from __future__ import annotations

import json
import pwd
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kadeploy.config.site import Site
from tests.unit.server.serving import OpenServices, Plain, ask, serving

pytestmark = pytest.mark.root

ALICE, BOB = pwd.getpwnam("nobody"), pwd.getpwnam("daemon")
NAME = "/v1/environments/mine"


@pytest.fixture
def images(directory: Path, tmp_path: Path) -> Path:
    """Directory of the server for the files of environments, with an image."""
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "image.tar.gz").write_bytes((directory / "image.tar.gz").read_bytes())
    (folder / "link").symlink_to(directory / "image.tar.gz")
    (folder / "loop").symlink_to(folder / "loop")
    return folder


@pytest.fixture
def services(site: Site, images: Path, address: Path) -> Iterator[OpenServices]:
    environments = site.server.environments.model_copy(update={"directories": (images,)})
    server = site.server.model_copy(update={"environments": environments})
    with serving(replace(site, server=server), address) as found:
        yield found


def record(address: Path, file: str, uid: int, **more: Any) -> Plain:
    description = {
        "name": "mine",
        "os": "linux",
        "image": {"file": file, "kind": "tar", "compression": "gzip"},
        "filesystem": "ext4",
        "boot": {"kernel": "/vmlinuz"},
        **more,
    }
    body = json.dumps({"description": description}).encode()
    headers = {"content-type": "application/json"}
    return ask(address, "/v1/environments", "POST", headers=headers, body=body, uid=uid)


def test_an_environment_is_private_then_shared_and_never_public(
    services: OpenServices, address: Path, images: Path
) -> None:
    recorded = record(address, f"server://{images}/image.tar.gz", ALICE.pw_uid)
    assert (recorded.status, recorded.document["environment"]["user"]) == (200, "nobody")

    def seen(by: int, query: str = "") -> int:
        return ask(address, f"{NAME}{query}", uid=by).status

    assert [seen(ALICE.pw_uid), seen(BOB.pw_uid), seen(BOB.pw_uid, "?owner=nobody")] == [200, 404, 404]
    assert ask(address, f"{NAME}/visibility?visibility=shared", "PUT", uid=ALICE.pw_uid).status == 204
    assert [seen(BOB.pw_uid), seen(BOB.pw_uid, "?owner=nobody")] == [404, 200]
    public = ask(address, f"{NAME}/visibility?visibility=public", "PUT", uid=ALICE.pw_uid)
    assert (public.status, public.document["status"]) == (403, 3)
    for method, target in (
        ("DELETE", f"{NAME}?owner=nobody"),
        ("PUT", f"{NAME}/visibility?visibility=private&owner=nobody"),
        ("POST", f"{NAME}/toggle-destructive?owner=nobody"),
        ("POST", f"{NAME}/update-digests?part=image&owner=nobody"),
        ("POST", f"{NAME}/recompress?owner=nobody"),
    ):
        assert ask(address, target, method, uid=BOB.pw_uid).status == 403, target
    assert seen(ALICE.pw_uid) == 200
    theirs = record(address, f"server://{images}/image.tar.gz", BOB.pw_uid, user="nobody", version=2)
    assert theirs.status == 403


@pytest.mark.parametrize(
    "file",
    [
        "{images}/image.tar.gz",
        "local://{images}/image.tar.gz",
        "server://{images}/link",
        "server://{images}/loop",
        "server://{images}/../images/../../etc/shadow",
        "server:///etc/shadow",
        "ftp://x/y",
        "image.tar.gz",
    ],
)
def test_files_of_other_places_are_not_read(
    services: OpenServices, address: Path, images: Path, file: str
) -> None:
    refused = record(address, file.format(images=images), BOB.pw_uid)
    assert (refused.status, refused.document["code"]) == (403, "refused"), refused.document


def test_a_description_that_is_wrong_is_told_with_all_problems(services: OpenServices, address: Path) -> None:
    refused = record(address, "http://x/y", BOB.pw_uid, os="minix", version="one")
    assert (refused.status, refused.document["code"], len(refused.document["problems"])) == (422, "file", 2)


SECRET_FILE = {"action": "send", "name": "take", "file": "/etc/shadow", "destination": "/tmp"}


@pytest.mark.parametrize(
    "field",
    [
        {
            "automaton": {
                "BroadcastEnv": [
                    {
                        "type": "Chain",
                        "microsteps": [{"name": "manage_user_post_install", "post-ops": [SECRET_FILE]}],
                    }
                ]
            }
        },
        {"custom_steps": {"BroadcastEnvChain": {"manage_user_post_install": {"post-ops": [SECRET_FILE]}}}},
    ],
    ids=lambda field: next(iter(field)),
)
@pytest.mark.parametrize("route", ["plans", "operations"])
def test_no_field_of_a_request_makes_the_server_read_its_own_files(
    services: OpenServices, address: Path, field: dict[str, Any], route: str
) -> None:
    request = {"nodes": ["red-1"], "environment": {"name": "mine"}, **field}
    body = json.dumps({"kind": "deploy", "request": request}).encode()
    headers = {"content-type": "application/json"}
    refused = ask(address, f"/v1/{route}", "POST", headers=headers, body=body, uid=BOB.pw_uid)
    assert (refused.status, refused.document["code"]) == (403, "refused"), refused.document
    assert refused.document["message"].startswith("/etc/shadow is a file of yours"), refused.document


def test_who_names_too_many_nodes_is_refused_before_they_are_made(
    services: OpenServices, address: Path
) -> None:
    query = "&".join(f"names=n{number}-[1-19999]" for number in range(500))
    refused = ask(address, f"/v1/nodes?{query}", uid=BOB.pw_uid)
    assert refused.document["message"] == "more than 20000 nodes are named", refused.document
