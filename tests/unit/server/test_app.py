# SPDX-License-Identifier: Apache-2.0
"""The application of the server: who calls, what is refused, and how."""

from __future__ import annotations

import pwd
import socket
import subprocess
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import pytest

from kadeploy.caller import Caller
from kadeploy.server import bounds, peer_protocol
from kadeploy.service.workflows import WorkflowService
from tests.unit.server.serving import OpenServices, ask, parse

NOBODY = pwd.getpwnam("nobody")


def test_the_caller_is_whom_the_kernel_names(services: OpenServices, address: Path) -> None:
    headers = {"x-kadeploy-user": "root", "remote-user": "root", "authorization": "Basic cm9vdDo="}
    assert ask(address, "/v1/workflows", headers=headers).status == 200
    assert services.callers == [Caller.of_process()]


@pytest.mark.root
def test_another_user_is_another_caller(services: OpenServices, address: Path) -> None:
    for uid in (NOBODY.pw_uid, 54321):
        asked = ask(address, "/v1/workflows/last", uid=uid, headers={"x-kadeploy-user": "root"})
        assert (asked.status, asked.document["code"]) == (404, "not-found")
    assert asked.document["message"] == "54321 has no workflow"
    named, numbered = services.callers
    assert (named.name, "nogroup" in named.groups) == ("nobody", True)
    assert numbered == Caller("54321")


@pytest.mark.parametrize("field", ["user", "caller", "owner_of_everything"])
def test_a_field_that_is_not_known_is_refused(services: OpenServices, address: Path, field: str) -> None:
    asked = ask(address, f"/v1/workflows?{field}=root")
    assert (asked.status, asked.document["code"], asked.document["status"]) == (400, "unknown-field", 3)
    assert asked.document["message"] == f"/v1/workflows knows no `{field}`"
    assert services.callers == []


@pytest.mark.parametrize(
    ("method", "target"), [("GET", "/v1/castles"), ("PUT", "/v1/workflows"), ("GET", "/"), ("GET", "/docs")]
)
def test_a_route_that_is_not_known_is_refused(
    services: OpenServices, address: Path, method: str, target: str
) -> None:
    asked = ask(address, target, method)
    assert (asked.status, asked.document["code"], asked.document["status"]) == (404, "unknown-route", 3)
    assert asked.headers["kadeploy-version"] == version("kadeploy")
    assert services.callers == []


def test_values_that_are_wrong_are_refused_together(services: OpenServices, address: Path) -> None:
    asked = ask(address, "/v1/statistics/records?kind=x&limit=many")
    assert (asked.status, asked.document["code"], asked.document["status"]) == (400, "request", 2)
    assert [problem["field"] for problem in asked.document["problems"]] == ["kind", "limit"]


def test_a_name_may_have_any_character(services: OpenServices, address: Path) -> None:
    asked = ask(address, "/v1/environments/a%2Fb%20%C3%A9%3F")
    assert (asked.status, asked.document["message"]) == (404, "there is no environment a/b é?")


def test_a_defect_is_told_without_its_text(
    services: OpenServices, address: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object, **__: object) -> NoReturn:
        raise LookupError("the password is sesame")

    monkeypatch.setattr(WorkflowService, "list", fail)
    asked = ask(address, "/v1/workflows")
    assert (asked.status, asked.document["code"], asked.document["status"]) == (500, "defect", 4)
    assert "sesame" not in str(asked.document)
    assert "sesame" in caplog.text


def test_a_body_has_a_bound(services: OpenServices, address: Path) -> None:
    body = b" " * (bounds.MAX_BODY + 1)
    asked = ask(address, "/v1/workflows/last/cancel", "POST", body=body)
    assert (asked.status, asked.document["code"]) == (413, "usage")
    chunks = b"".join(b"10000\r\n" + b" " * 65536 + b"\r\n" for _ in range(40)) + b"0\r\n\r\n"
    with connected(address) as client:
        client.sendall(
            b"POST /v1/workflows/last/cancel HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        with suppress(OSError):  # it hangs up before all of it was sent
            client.sendall(chunks)
        assert client.recv(65536).startswith(b"HTTP/1.1 413 ")
    assert services.callers == []


def connected(address: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20)
    client.connect(str(address))
    return client


def seconds_until_hung_up(client: socket.socket) -> float:
    began = time.monotonic()
    try:
        while client.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic() - began


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\nhost:"])
def test_who_sends_the_head_too_slowly_is_hung_up_on(
    services: OpenServices, address: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(peer_protocol, "HEAD_SECONDS", 0.3)
    with connected(address) as client:
        client.sendall(sent)
        assert 0.1 < seconds_until_hung_up(client) < 5


def test_who_sends_a_second_head_too_slowly_is_hung_up_on(
    services: OpenServices, address: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_protocol, "HEAD_SECONDS", 0.3)
    with connected(address) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = b""
        while b"unknown-route" not in answer:
            answer += client.recv(65536)
        time.sleep(0.5)
        client.sendall(b"GET /")
        assert 0.1 < seconds_until_hung_up(client) < 5


def test_who_sends_the_body_too_slowly_is_told(
    services: OpenServices, address: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "BODY_SECONDS", 0.3)
    with connected(address) as client:
        client.sendall(b"POST /v1/workflows/x/cancel HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n1234")
        answer = b""
        while received := client.recv(65536):  # until it hangs up
            answer += received
    assert parse(answer).status == 408


def test_a_large_head_is_refused(services: OpenServices, address: Path) -> None:
    with connected(address) as client:
        with suppress(OSError):
            client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n" + b"x: y\r\n" * 200_000)
        assert b" 400 " in client.recv(65536)


@pytest.mark.root
def test_a_user_has_a_bound_of_connections_which_no_other_feels(
    services: OpenServices, address: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_protocol, "MAX_CONNECTIONS", 0)
    with pytest.raises(subprocess.CalledProcessError):  # it was hung up on
        ask(address, "/v1/workflows", uid=NOBODY.pw_uid)
    assert ask(address, "/v1/workflows").status == 200
    monkeypatch.setattr(peer_protocol, "MAX_CONNECTIONS", 1)
    for _ in range(3):
        assert ask(address, "/v1/workflows", uid=NOBODY.pw_uid).status == 200


def test_what_is_no_unix_socket_has_no_peer() -> None:
    with socket.socket() as tcp, pytest.raises(OSError, match="AF_INET"):
        peer_protocol.Peer.of(tcp)
