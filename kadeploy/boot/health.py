# SPDX-License-Identifier: Apache-2.0
"""Health of the boot server, as those see it who order boots: no node is to blame for it."""

from __future__ import annotations

import asyncio
import logging
import os

import aiohttp

from kadeploy.boot.shared_answer import SharedAnswer
from kadeploy.config.server import Network

HEALTH_PATH = "/healthz"
TIMEOUT = 10.0  # seconds for an answer; the server itself takes up to eight to find out
FRESH = 1.0  # seconds for which an answer serves all who ask
PATIENCE = 30.0  # seconds for a server that is being started again, as after an update
_SILENCE = 3.0  # of these seconds nothing is told
_PAUSE = 0.5  # seconds between two questions
_SHOWN = 200  # characters of an answer

log = logging.getLogger(__name__)


class BootHealth:
    """Health for which the steps of many nodes ask at once, and the server is asked once a second at most."""

    def __init__(self, network: Network) -> None:
        self._url = f"http://{network.server_address}:{network.ports.http}{HEALTH_PATH}"
        self._answer = SharedAnswer(self._ask, FRESH)
        self._away_since: float | None = None
        self._told = False

    async def problem(self) -> str:
        """Sentence on what does not work at the boot server, '' where it serves machines."""
        return await self._answer.get()

    async def lasting_problem(self) -> str:
        """The same once it has lasted; '' as soon as the server works.

        The patience begins with the first question that found it away: who asks later waits for the rest.
        """
        clock = asyncio.get_running_loop().time
        while problem := await self.problem():
            now = clock()
            self._away_since = now if self._away_since is None else self._away_since
            lasted = now - self._away_since
            if lasted >= PATIENCE:
                return f"{problem}, for {lasted:.0f} s"
            if lasted >= _SILENCE and not self._told:
                self._told = True
                log.warning("%s: nodes that are to boot wait for it", problem)
            await asyncio.sleep(_PAUSE)
        if self._told and self._away_since is not None:
            log.warning("the boot server works again, after %.0f s", clock() - self._away_since)
        self._away_since, self._told = None, False
        return ""

    async def _ask(self) -> str:
        limit = aiohttp.ClientTimeout(total=TIMEOUT)
        try:
            async with (
                aiohttp.ClientSession(timeout=limit, trust_env=False) as session,
                session.get(self._url, allow_redirects=False) as answer,
            ):
                text = (await answer.content.read(_SHOWN)).decode(errors="replace").strip()
                if answer.status == 200:
                    return ""
                return f"the boot server at {self._url} says: {text or answer.status}"
        except TimeoutError:
            return f"the boot server at {self._url} has not answered within {TIMEOUT:.0f} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return f"the boot server at {self._url} does not answer: {_reason(error)}"


def _reason(error: Exception) -> str:
    """Reason in the words of the system, where it has any."""
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number else str(error) or type(error).__name__
