# SPDX-License-Identifier: Apache-2.0
"""Answers to machines that ask for their profile: by the orders to boot, made when they are asked for.

Only the machine with the node's address, and with its MAC where both are known, gets a secret. It is written
to the store before it is sent; that it was sent whole is written behind, and only then it proves anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from kadeploy.boot import profile
from kadeploy.boot.neighbours import mac_of
from kadeploy.boot.order_store import OrderStore
from kadeploy.boot.repository import BootRepository, profile_names
from kadeploy.boot.requests import Protocol
from kadeploy.errors import KadeployError, ServiceError
from kadeploy.store import outage
from kadeploy.store.boot_orders import BootOrder, OrderState
from kadeploy.time_limit import time_limit

STORE_WAIT = 2.0  # seconds for the store, until a machine is told to come again
COMPLETION_WAIT = 600.0  # seconds in which a locked store is asked to count a fetch
# A machine asks once for each boot. One that asks and asks would write the store all the time.
FETCHES, FETCH_SECONDS = 8, 10.0
QUIET = 10.0  # seconds between two warnings
_ATTEMPTS = 3  # to answer, where the order is replaced meanwhile
_DUMMY = "0" * 64

OK, REFUSED = 200, 403

logger = logging.getLogger(__name__)


class AskAgainError(ServiceError):
    """Error for one client that is to ask again; others are answered as ever."""


@dataclass(frozen=True, slots=True)
class ProfileAnswer:
    """Answer to one request; ``status`` is for the log of requests.

    ``fetch``: number of the fetch to complete once all of ``text`` was sent, 0 where it does not count.
    ``mac``: the client's or else the node's, '' where neither is known.
    """

    text: str
    status: int = OK
    fetch: int = 0
    client: str = ""
    mac: str = ""

    @property
    def content(self) -> bytes:
        return self.text.encode()


class ProfileAnswers:
    """Answers for the profiles of one repository."""

    def __init__(
        self,
        repository: BootRepository,
        store: OrderStore,
        find_mac: Callable[[str], Awaitable[str]] = mac_of,
    ) -> None:
        self._repository = repository
        self._store = store
        self._find_mac = find_mac
        self._sent: asyncio.Queue[ProfileAnswer] = asyncio.Queue()
        self._counted: asyncio.Queue[ProfileAnswer] = asyncio.Queue()
        self._quiet_until = 0.0
        self._recent: dict[tuple[int, Protocol], deque[float]] = {}

    @property
    def directory(self) -> str:
        """Directory of the profiles below the repository."""
        return self._repository.profile_directory

    async def find(
        self, name: str, client: str, protocol: Protocol, *, head: bool = False, wait: float = STORE_WAIT
    ) -> ProfileAnswer | None:
        """Answer to a client that asks for this name; None where no order says anything about it.

        ``head``: it only asks about the profile, which counts for nothing and has no secret. Raises
        ServiceError and RefusedError where the store cannot be used, AskAgainError where only this client
        gets no answer now; it is to come again then.
        """
        names = await asyncio.to_thread(
            profile_names, self._repository.root, self._repository.profile_directory, name
        )
        if not names:
            return None
        try:
            async with time_limit(wait):
                return await self._find(names, plain(client), protocol, head)
        except TimeoutError:
            error = ServiceError(f"the store has not answered within {wait:g} s")
            self._warn(client, error)
            raise error from None
        except KadeployError as error:
            self._warn(client, error)
            raise

    def _warn(self, client: str, error: KadeployError) -> None:
        """Log an error, unless another one was logged a moment ago: any machine may ask at any rate."""
        now = asyncio.get_running_loop().time()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET
            logger.warning("%s is to ask again for its profile: %s", client, error.message)

    async def _find(
        self, names: list[str], client: str, protocol: Protocol, head: bool
    ) -> ProfileAnswer | None:
        for _ in range(_ATTEMPTS):
            order = await self._order(names, client)
            if order is None:
                return None
            if not order.secret_wanted:
                return ProfileAnswer(order.text)
            mac = await self._mac(client)
            if reason := self._objection(order, client, protocol, mac):
                return ProfileAnswer(self._repository.refusal(reason), REFUSED)
            if head:
                return ProfileAnswer(profile.fill(order.text, _DUMMY))
            if answer := await self._answer(order, client, protocol, mac):
                return answer
        raise AskAgainError("the order to boot is being replaced")

    async def _mac(self, client: str) -> str:
        try:
            return await self._find_mac(client)
        except ServiceError as error:
            raise AskAgainError(error.message) from error

    def _objection(self, order: BootOrder, client: str, protocol: Protocol, mac: str) -> str:
        """Reason for which this client gets no secret, '' where it is the node."""
        what = f"this is the boot profile of {order.node}"
        if plain(order.address) != client:
            return f"{what}, and this machine has another address"
        if order.mac and mac and mac != order.mac:
            return f"{what}, and this machine has another MAC"
        if protocol not in self._repository.secret_protocols:
            return f"{what}, and is not served by {protocol.upper()} here"
        return ""

    async def _order(self, names: list[str], client: str) -> BootOrder | None:
        orders = await self._store.orders()
        for name in names:
            if order := await orders.find(name, client):
                return order
        return None

    async def _answer(
        self, order: BootOrder, client: str, protocol: Protocol, mac: str
    ) -> ProfileAnswer | None:
        """Answer with a fresh secret, None where the order is replaced; a proven one has none any more."""
        self._slow_down((order.number, protocol))
        orders = await self._store.orders()
        secret = "" if order.state is OrderState.PROVEN else profile.make_secret()
        fetch = await orders.begin_fetch(order.number, secret, client=client, protocol=protocol, mac=mac)
        if not fetch:
            return None
        return ProfileAnswer(profile.fill(order.text, secret), OK, fetch, client, mac or order.mac)

    def _slow_down(self, asked: tuple[int, Protocol]) -> None:
        """Raises AskAgainError where an order was answered very often in one way.

        Anybody may ask by TFTP in the name of a node, and must not keep that from its answer over HTTP.
        """
        now = asyncio.get_running_loop().time()
        for other in [key for key, times in self._recent.items() if times[-1] < now - FETCH_SECONDS]:
            del self._recent[other]
        times = self._recent.setdefault(asked, deque(maxlen=FETCHES))
        if len(times) == FETCHES and times[0] > now - FETCH_SECONDS:
            raise AskAgainError(f"the profile was fetched {FETCHES} times within {FETCH_SECONDS:.0f} s")
        times.append(now)

    def sent(self, answer: ProfileAnswer) -> None:
        """Count an answer whose whole text was sent; written to the store behind the caller's back."""
        if answer.fetch:
            self._sent.put_nowait(answer)

    async def write_counts(self) -> None:
        """Write to the store which answers were sent whole, in their order; for ever, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(_for_each(self._sent, self._check))
            group.create_task(_for_each(self._counted, self._complete))

    async def written(self) -> None:
        """Wait until everything that was sent so far is counted."""
        await self._sent.join()
        await self._counted.join()

    async def _check(self, answer: ProfileAnswer) -> None:
        """Pass an answer on to be counted, unless another machine has taken the address since the question.

        Done before the store is waited for: later the kernel may have forgotten who has got the answer.
        """
        try:
            mac = await self._find_mac(answer.client)
        except ServiceError as error:
            logger.warning("the MAC of %s is not compared again: %s", answer.client, error.message)
            mac = ""
        if mac and answer.mac and mac != answer.mac:
            logger.warning("a fetch of %s is not counted: it has another MAC by now", answer.client)
            return
        self._counted.put_nowait(answer)

    async def _complete(self, answer: ProfileAnswer) -> None:
        try:
            with outage.patient(COMPLETION_WAIT):
                await (await self._store.orders()).complete_fetch(answer.fetch)
        except KadeployError as error:
            logger.warning("a fetch of %s is not counted: %s", answer.client, error.message)


async def _for_each(
    waiting: asyncio.Queue[ProfileAnswer], act: Callable[[ProfileAnswer], Awaitable[None]]
) -> None:
    while True:
        answer = await waiting.get()
        try:
            await act(answer)
        finally:
            waiting.task_done()


def plain(address: str) -> str:
    """Address of a client, an IPv4 address also where it came over an IPv6 socket."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(mapped or parsed)
