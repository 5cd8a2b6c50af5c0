# SPDX-License-Identifier: Apache-2.0
"""TFTP as real firmware speaks it, packet by packet: padded requests, odd names, options and what is lost."""

from __future__ import annotations

import itertools
import os
import socket
import time
from collections.abc import Iterator

import pytest

from kadeploy.config.server import Network
from tests.ports import free_port
from tests.unit.boot.service import configure, running

DATA, ERROR, OPTIONS = 3, 5, 6
LOADER = os.urandom(1300)  # three blocks
_nodes = (f"127.0.1.{number % 200 + 1}" for number in itertools.count())
NAMES = ("loader", "EFI/boot/loader.efi")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of a boot server that has a few files, for all tests here."""
    directory = tmp_path_factory.mktemp("site")
    ports = {"http": free_port(socket.SOCK_STREAM), "tftp": free_port(socket.SOCK_DGRAM)}
    network = Network.model_validate({"server_address": "127.0.0.1", "ports": ports})
    for name in NAMES:
        path = configure(directory, network) / "boot" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(LOADER)
    with running(directory) as process:
        yield network.ports.tftp
        assert process.poll() is None, "the boot server has died"


class Firmware:
    """Firmware that sends what it is told to."""

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((next(_nodes), 0))
        self.peer = self._server

    def __enter__(self) -> Firmware:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, request: bytes) -> None:
        """Send a read request, whose code is put before it."""
        self._socket.sendto(b"\0\1" + request, self._server)

    def receive(self, wait: float = 3.0) -> tuple[int, bytes]:
        """Code and rest of the next packet; (0, b"") where none comes in time."""
        self._socket.settimeout(wait)
        try:
            packet, self.peer = self._socket.recvfrom(70_000)
        except TimeoutError:
            return 0, b""
        return int.from_bytes(packet[:2]), packet[2:]

    def confirm(self, block: int) -> None:
        self._socket.sendto(b"\0\4" + block.to_bytes(2), self.peer)

    def fetch(self, request: bytes) -> bytes:
        """What comes for a request, whole; empty where it is refused or not answered."""
        self.ask(request)
        code, rest = self.receive()
        size, content, block = 512, b"", 0
        if code == OPTIONS:
            size = int(options_of(rest).get(b"blksize", b"512"))
            self.confirm(0)
            code, rest = self.receive()
        while code == DATA:
            assert int.from_bytes(rest[:2]) == block + 1
            content, block = content + rest[2:], block + 1
            self.confirm(block)
            if len(rest) - 2 < size:
                break
            code, rest = self.receive()
        return content


@pytest.fixture
def firmware(port: int) -> Iterator[Firmware]:
    with Firmware(port) as found:
        yield found


def options_of(rest: bytes) -> dict[bytes, bytes]:
    words = rest.removesuffix(b"\0").split(b"\0")
    return {name.lower(): value for name, value in zip(words[::2], words[1::2], strict=True)}


def words(*texts: str) -> bytes:
    return b"".join(text.encode() + b"\0" for text in texts)


@pytest.mark.parametrize(
    "name",
    [
        b"loader\xff",  # Intel's PXE takes the end of DHCP's options for a part of the name
        b"loader\xff\xff",
        b"\\loader",
        b"//loader",
        b"\\EFI\\boot\\loader.efi",  # firmware and loaders of Windows
        b"EFI\\boot/loader.efi\xff",
        b"//EFI//boot/loader.efi",
    ],
)
def test_odd_names(firmware: Firmware, name: bytes) -> None:
    assert firmware.fetch(name + b"\0octet\0") == LOADER


@pytest.mark.parametrize("name", [b"\xff", b"\xc3", "lädt".encode(), b"..\\..\\c.conf", b"\\", b"load\ner"])
def test_names_of_nothing_are_answered(firmware: Firmware, name: bytes) -> None:
    """Silence would make firmware ask for half a minute."""
    firmware.ask(name + b"\0octet\0")
    code, rest = firmware.receive(1.5)
    assert (code, rest[:2]) == (ERROR, b"\0\1")


@pytest.mark.parametrize(
    "request_",
    [
        words("loader", "octet") + bytes(490),
        words("loader", "octet", "tsize", "0") + bytes(1),
        words("loader", "octet", "tsize", "0", "blksize", "1468") + bytes(400),
        words("loader", "octet", "blksize", "1468")[:-1],
        words("loader", "octet")[:-1],
        words("loader", "octet", "blksize"),
        words("loader", "octet", "blksize", ""),
        words("loader", "octet", "tsize", "", "blksize", "600"),
    ],
)
def test_padded_and_cut_requests(firmware: Firmware, request_: bytes) -> None:
    assert firmware.fetch(request_) == LOADER


@pytest.mark.parametrize("mode", ["OCTET", "Octet", "netascii", "NetASCII"])
def test_case_of_the_mode(firmware: Firmware, mode: str) -> None:
    assert firmware.fetch(words("loader", mode)) == LOADER


@pytest.mark.parametrize("mode", ["mail", "nonsense"])
def test_other_modes_are_refused(firmware: Firmware, mode: str) -> None:
    firmware.ask(words("loader", mode))
    code, rest = firmware.receive(1.5)
    assert (code, rest[:2]) == (ERROR, b"\0\4")


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ({"tsize": "0"}, {b"tsize": b"1300"}),
        ({"TSize": "0"}, {b"tsize": b"1300"}),
        ({"blksize": "1468"}, {b"blksize": b"1468"}),
        ({"BLKSIZE": "1468", "tsize": "0"}, {b"blksize": b"1468", b"tsize": b"1300"}),
        ({"blksize": "8"}, {b"blksize": b"8"}),
        ({"blksize": "65464"}, {b"blksize": b"65464"}),
        ({"blksize": "65465"}, {b"blksize": b"65464"}),
        ({"blksize": "70000"}, {b"blksize": b"65464"}),
        ({"timeout": "1"}, {b"timeout": b"1"}),
        ({"timeout": "255"}, {b"timeout": b"255"}),
        ({"timeout": "6", "windowsize": "4"}, {b"timeout": b"6"}),
        ({"tsize": "0", "blksize": "7"}, {b"tsize": b"1300"}),
        ({"tsize": "0", "rollover": "1", "multicast": ""}, {b"tsize": b"1300"}),
        ({"blksize": "1024", "blkSize": "600"}, {b"blksize": b"1024"}),
    ],
)
def test_only_options_that_were_asked_for(
    firmware: Firmware, asked: dict[str, str], answered: dict[bytes, bytes]
) -> None:
    """RFC 2347: a server answers no option that nobody asked for; strict firmware ends the transfer."""
    firmware.ask(words("loader", "octet", *(word for option in asked.items() for word in option)))
    code, rest = firmware.receive()
    assert (code, options_of(rest)) == (OPTIONS, answered)


@pytest.mark.parametrize(
    "asked",
    [
        *[("blksize", value) for value in ("0", "7", "-5", "huge", "0x200", "1_468", "+600", "1e3")],
        ("blksize", "\u0663\u0663\u0663"),
        *[("timeout", value) for value in ("0", "256", "-1", "soon", "99999999999999999999")],
        *[("windowsize", value) for value in ("0", "16", "65536")],
        *[("tsize", value) for value in ("-1", "all")],
        ("multicast", ""),
        ("", "nothing"),
    ],
)
def test_options_that_are_not_taken_are_as_if_not_there(firmware: Firmware, asked: tuple[str, str]) -> None:
    firmware.ask(words("loader", "octet", *asked))
    code, rest = firmware.receive()
    assert (code, rest) == (DATA, b"\0\1" + LOADER[:512])


def test_a_repeated_confirmation_brings_no_second_block(firmware: Firmware) -> None:
    """RFC 1123, 4.2.3.1: else every block goes twice from there on."""
    firmware.ask(words("loader", "octet"))
    assert firmware.receive()[1][:2] == b"\0\1"
    for _ in range(3):
        firmware.confirm(1)
    assert firmware.receive()[1][:2] == b"\0\2"
    assert firmware.receive(0.4) == (0, b"")
    firmware.confirm(2)
    firmware.confirm(1)
    assert firmware.receive()[1] == b"\0\3" + LOADER[1024:]


def test_a_lost_block_comes_again_however_often_the_one_before_is_confirmed(firmware: Firmware) -> None:
    firmware.ask(words("loader", "octet"))
    firmware.receive()
    firmware.confirm(1)
    assert firmware.receive()[1][:2] == b"\0\2"  # which is lost
    end, again = time.monotonic() + 4, 0.0
    while time.monotonic() < end and not again:
        firmware.confirm(1)
        if firmware.receive(0.3)[1][:2] == b"\0\2":
            again = time.monotonic()
    assert again, "the block did not come again"


def test_more_than_twenty_repeated_confirmations(firmware: Firmware) -> None:
    firmware.ask(words("loader", "octet"))
    firmware.receive()
    for _ in range(30):
        firmware.confirm(0)
    firmware.confirm(1)
    assert firmware.receive()[1][:2] == b"\0\2"


def test_the_time_that_the_client_asks_for(firmware: Firmware) -> None:
    firmware.ask(words("loader", "octet", "timeout", "3"))
    assert firmware.receive()[0] == OPTIONS
    assert firmware.receive(2.2) == (0, b""), "sent again too early"
    assert firmware.receive(2.0)[0] == OPTIONS


def test_another_request_from_the_same_port(firmware: Firmware) -> None:
    """Firmware that asks for the size, is content with that, and goes on from the port that it always has."""
    firmware.ask(words("loader", "octet", "tsize", "0"))
    assert firmware.receive()[0] == OPTIONS
    assert firmware.fetch(words("loader", "octet", "blksize", "1024")) == LOADER
    assert firmware.fetch(words("loader", "octet", "blksize", "1024")) == LOADER


def test_a_request_that_comes_twice_is_answered_once(firmware: Firmware) -> None:
    for _ in range(2):
        firmware.ask(words("loader", "octet"))
    assert firmware.receive()[1][:2] == b"\0\1"
    first = firmware.peer
    assert firmware.receive(0.4) == (0, b"")
    firmware.confirm(1)
    firmware.ask(words("loader", "octet"))  # late, on its way round
    assert firmware.receive()[1][:2] == b"\0\2" and firmware.peer == first


@pytest.mark.parametrize(
    "request_",
    [
        *(b"x" * 65_400 + b"\0octet\0", b"\x01" * 30_000 + b"\0octet\0", b"x" * 500),
        *(b"", b"\0", b"x", b"\0octet\0"),
    ],
)
def test_garbage_ends_nobody(firmware: Firmware, request_: bytes) -> None:
    firmware.ask(request_)
    time.sleep(0.1)
    assert firmware.fetch(words("loader", "octet")) == LOADER
