# SPDX-License-Identifier: Apache-2.0
"""Way of power ``ipmi``: the machine's BMC, through ipmitool."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from kadeploy.config.clusters import Node
from kadeploy.config.firmware import FirmwareKind
from kadeploy.config.remote_operations import Level, PowerAction, PowerWaySetting
from kadeploy.config.yaml_file import FileModel
from kadeploy.errors import PowerError
from kadeploy.power.execution import check, execute
from kadeploy.power.way import PowerOrder, PowerState, PowerWay, allowed

if TYPE_CHECKING:
    from kadeploy.local.program import Completed

SESSION_ATTEMPTS = 3
STATUS_INTERVAL = 0.5  # seconds
PROGRAM = "ipmitool"
RESEND_INTERVAL, RESENDS = "1", "3"  # of ipmitool: a datagram is sent again after 1 s, 3 times

# BMCs have few session slots and lose datagrams under load: what fails before a session stands may be tried
# again. "Unable to establish" is also what some say to a wrong password, hence the small number.
_TRANSIENT = (
    "Unable to establish IPMI v2 / RMCP+ session",
    "Unable to establish LAN session",
    "insufficient resources",
    "Node busy",
    "Get Auth Capabilities error",
)
_PERMANENT = ("HMAC is invalid", "unauthorized name", "invalid authentication algorithm", "Password file")

_FROM_NETWORK = "chassis bootdev pxe"
_BY_UEFI = "options=efiboot"  # without it some BMCs make the next boot one of a BIOS
_TAKEN, _DEVICE_SET = "Chassis Power Control: ", "Set Boot Device to "  # what ipmitool says of its success

logger = logging.getLogger(__name__)


class IpmiAccount(FileModel):
    """Account of the BMCs; the password is in a file, for a command line is visible to everybody.

    ``efiboot``: whether BMCs are asked for a boot by UEFI; None: by the firmware of each node.
    """

    user: str = "admin"
    password_file: Path
    port: int = Field(default=623, ge=1, le=65535)
    interface: Literal["lanplus", "lan"] = "lanplus"
    cipher_suite: int = Field(default=17, ge=0, le=255)
    efiboot: bool | None = None


class IpmiWay(PowerWay):
    """Gives orders to the BMC of a node, and asks it until it says that they are obeyed."""

    name = "ipmi"
    setting = PowerWaySetting
    account = IpmiAccount
    actions = frozenset(PowerAction)
    asks_system = False

    def program(self, _: PowerWaySetting) -> str:
        return PROGRAM

    async def switch(self, action: PowerAction, order: PowerOrder[PowerWaySetting, IpmiAccount]) -> None:
        """Do the action; raises PowerError."""
        await _connect(order).switch(action, order.setting.name, order.known)

    async def status(self, order: PowerOrder[PowerWaySetting, IpmiAccount]) -> PowerState:
        """State of the power by the BMC; raises PowerError."""
        return await _connect(order).status()


def _connect(order: PowerOrder[PowerWaySetting, IpmiAccount]) -> Bmc:
    return Bmc(order.account, order.directory, order.node, order.setting.timeout, order.check)


class _SessionError(PowerError):
    """No session with the BMC; it may go better in a moment."""


class Bmc:
    """BMC of one node, for one operation that is to end within ``timeout`` seconds.

    ``check`` is asked before each order, for what comes before it may take seconds.
    """

    def __init__(
        self,
        account: IpmiAccount,
        directory: Path,
        node: Node,
        timeout: float,
        check: Callable[[], Awaitable[None]] = allowed,
    ) -> None:
        if not node.bmc:
            raise PowerError(f"{node.name} has no BMC", hint="give 'bmc' in clusters.conf")
        self._node = node
        self._check = check
        self._timeout = timeout
        efiboot = node.firmware is FirmwareKind.UEFI if account.efiboot is None else account.efiboot
        self._from_network = f"{_FROM_NETWORK} {_BY_UEFI}" if efiboot else _FROM_NETWORK
        self._deadline = time.monotonic() + timeout
        self._prefix = [
            *(PROGRAM, "-I", account.interface, "-H", node.bmc, "-p", str(account.port)),
            *("-U", account.user, "-f", str(directory / account.password_file)),
            *("-N", RESEND_INTERVAL, "-R", RESENDS),
            *(("-C", str(account.cipher_suite)) if account.interface == "lanplus" else ()),
        ]

    async def switch(self, action: PowerAction, level: Level, known: PowerState | None = None) -> None:
        """Do what is asked and wait until the BMC says it is so; raises PowerError.

        ``known`` is the power status, where it has just been asked for.
        """
        match action:
            case PowerAction.POWER_OFF:
                said = await self._order("soft" if level == "soft" else "off")
                await self._reach(PowerState.OFF, said)
            case PowerAction.REBOOT if (known or await self.status()) is PowerState.ON:
                said = await self._order("cycle" if level == "very_hard" else "reset", from_network=True)
                await self._reach(PowerState.ON, said)
            case _:  # a machine that is off obeys no reset
                await self._reach(PowerState.ON, await self._order("on", from_network=True))

    async def status(self) -> PowerState:
        """Power status of the machine, as the BMC says; raises PowerError."""
        text = await self._tool("chassis", "power", "status")
        state = _power_state(text)
        if state is None:
            raise PowerError(f"the BMC of {self._node.name} says neither on nor off", evidence=text)
        return state

    async def _order(self, order: str, *, from_network: bool = False) -> PowerState | None:
        """Give an order, and ask what has come of it, in one session: many BMCs take a second for each.

        None where the order was taken, and the question not answered.
        """
        device = [self._from_network] if from_network else []
        words = [*device, f"chassis power {order}", "chassis power status"]
        return _power_state(await self._tool("exec", "/dev/stdin", input="".join(f"{w}\n" for w in words)))

    async def _reach(self, state: PowerState, said: PowerState | None) -> None:
        while said is not state:
            if time.monotonic() + 2 * STATUS_INTERVAL > self._deadline:  # the last question takes time too
                raise PowerError(f"{self._node.name} is not {state} after {self._timeout:g} s")
            await asyncio.sleep(STATUS_INTERVAL)
            said = await self.status()

    async def _tool(self, *words: str, input: str = "") -> str:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_SessionError),
            stop=stop_after_attempt(SESSION_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.2, max=2),
            reraise=True,
        )
        return await retrying(self._ipmitool, words, input)

    async def _ipmitool(self, words: Sequence[str], input: str) -> str:
        """Output of ipmitool; ``input`` are the commands of one session, of which the order must work."""
        if input:
            await self._check()
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise PowerError(f"the BMC of {self._node.name} did not obey within {self._timeout:g} s")
        completed = await execute([*self._prefix, *words], timeout=left, input=input.encode())
        if input and _TAKEN in completed.stdout:
            self._warn(completed, input)
            return completed.stdout
        try:
            return check(completed, self._timeout).stdout
        except PowerError as error:
            asked = input.replace("\n", "; ").removesuffix("; ") or " ".join(words)
            what = f"the BMC of {self._node.name} ({self._node.bmc}): {asked}: {error.message}"
            kind = _SessionError if _is_transient(completed.stderr) else PowerError
            raise kind(what, evidence=error.evidence) from None

    def _warn(self, completed: Completed, input: str) -> None:
        # For the next boot only. Some BMCs do not know it and boot from the network by their setup; which
        # profile the machine booted is proved by its secret, hence no failure here.
        if _FROM_NETWORK in input and _DEVICE_SET not in completed.stdout:
            said = completed.stderr.strip().partition("\n")[0]
            logger.warning("the BMC of %s does not take the boot device: %s", self._node.name, said)


def _power_state(text: str) -> PowerState | None:
    """Power state in the last line; None where it has none."""
    last = text.strip().rpartition("\n")[2].lower()
    return next((state for state in PowerState if last.endswith(f" is {state}")), None)


def _is_transient(text: str) -> bool:
    return any(mark in text for mark in _TRANSIENT) and not any(mark in text for mark in _PERMANENT)


MEMBER = IpmiWay()
