# SPDX-License-Identifier: Apache-2.0
"""Downloads over HTTP: bounded in size and time, retried after faults of line or server, and resumed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path

import httpx2
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from kadeploy.config.server import Downloads
from kadeploy.environments.progress import Progress
from kadeploy.errors import NotFoundError, RefusedError, ServiceError
from kadeploy.time_limit import time_limit

ATTEMPTS = 4
# Seconds of silence; those of the whole transfer are settings.
TIMEOUT = httpx2.Timeout(30, connect=10)
TIMEOUT_OF_HEAD = 60  # seconds until the head of an answer is whole, however it comes
CHUNK = 1024 * 1024
SMALL = Downloads(deadline=120)  # limits of what is fetched into memory, before a site's settings are known
CACHE_HINT = "raise cache.size in server.conf if it must be"


@dataclass(frozen=True, slots=True)
class Validators:
    """Validators of a file's state (RFC 9110), by which a server tells later whether the file has changed."""

    etag: str = ""
    last_modified: str = ""

    def conditions(self) -> dict[str, str]:
        """Headers of a request for the file only if it has changed."""
        headers = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in headers.items() if value}


class _TransientError(Exception):
    """Fault of the server that may pass."""


async def fetch_bytes(url: str, max_bytes: int, limits: Downloads = SMALL) -> bytes:
    """Content of a small file; raises NotFoundError, RefusedError (too large), ServiceError."""
    content = b""

    async def attempt(client: httpx2.AsyncClient) -> None:
        nonlocal content
        pace = _Pace(limits)
        async with _request(client, url, {}) as response:
            content = b""
            async for chunk in response.aiter_bytes():
                pace.add(len(chunk))
                content += chunk
                _check_size(url, len(content), max_bytes)

    await _retry(url, attempt, limits.deadline)
    return content


async def download(
    url: str,
    target: Path,
    max_bytes: int,
    known: Validators,
    progress: Progress,
    limits: Downloads | None = None,
) -> Validators | None:
    """Write the file to ``target``, a file of the caller's; None where it is unchanged since ``known``.

    Raises NotFoundError, RefusedError (too large), ServiceError (no answer, only faults, or too slow).
    """
    limits = limits or Downloads()
    transfer = _Transfer(url, target, max_bytes, known, progress, limits)
    await _retry(url, transfer.attempt, limits.deadline)
    return None if transfer.unchanged else transfer.validators


class _Transfer:
    """Download over several attempts; each continues where the one before broke."""

    def __init__(
        self,
        url: str,
        target: Path,
        max_bytes: int,
        known: Validators,
        progress: Progress,
        limits: Downloads,
    ) -> None:
        self._limits = limits
        self._url = url
        self._target = target
        self._max_bytes = max_bytes
        self._known = known
        self._progress = progress
        self._done = 0
        self.validators = Validators()
        self.unchanged = False

    async def attempt(self, client: httpx2.AsyncClient) -> None:
        # The bytes as they are stored: a server that compresses on the way would change the digest.
        headers = {"Accept-Encoding": "identity"} | (self._resumption() or self._known.conditions())
        async with _request(client, self._url, headers) as response:
            if response.status_code == httpx2.codes.NOT_MODIFIED:
                self.unchanged = True
                return
            if response.status_code != httpx2.codes.PARTIAL_CONTENT:
                self._done = 0
            self.validators = Validators(
                response.headers.get("etag", ""), response.headers.get("last-modified", "")
            )
            await self._receive(response)

    def _write(self, file: RawIOBase, chunk: bytes) -> None:
        rest = memoryview(chunk)
        try:
            while rest:
                count = file.write(rest) or 0
                rest, self._done = rest[count:], self._done + count
        except OSError as error:
            message = f"{self._url} cannot be kept in {self._target.parent}: {error.strerror}"
            hint = "make room there, or set cache.directory in server.conf"
            raise ServiceError(message, hint=hint) from error

    def _resumption(self) -> dict[str, str]:
        """Headers of a request for the rest of an unchanged file; a weak ETag does not prove that."""
        etag = self.validators.etag
        if not self._done or not etag or etag.startswith("W/"):
            return {}
        return {"Range": f"bytes={self._done}-", "If-Range": etag}

    async def _receive(self, response: httpx2.Response) -> None:
        length = response.headers.get("content-length", "")
        total = self._done + int(length) if length.isdigit() else None
        _check_size(self._url, total or 0, self._max_bytes, CACHE_HINT)
        # Unbuffered, so that a full disk shows at the write, and at no later call.
        with self._target.open("r+b" if self._done else "wb", buffering=0) as file:
            file.seek(self._done)
            async for chunk in _chunks(response, _Pace(self._limits)):
                _check_size(self._url, self._done + len(chunk), self._max_bytes, CACHE_HINT)
                await asyncio.to_thread(self._write, file, chunk)
                self._progress(self._done, total)
            file.truncate()
        if total is not None and self._done != total:
            raise _TransientError(f"{self._done} of {total} bytes came")


class _Pace:
    """Pace of an answer; ``add`` raises _TransientError when a window has brought too little."""

    def __init__(self, limits: Downloads) -> None:
        self._limits = limits
        self._began = time.monotonic()
        self._count = 0

    def add(self, count: int) -> None:
        """Count bytes that have come now."""
        self._count += count
        seconds = time.monotonic() - self._began
        if seconds < self._limits.window:
            return
        rate, least = self._count / seconds / 1000, self._limits.least_rate
        if rate < least:
            raise _TransientError(f"{rate:.2g} kB/s came over {seconds:.0f} s, less than {least:g}")
        self._began, self._count = time.monotonic(), 0


async def _chunks(response: httpx2.Response, pace: _Pace) -> AsyncIterator[bytes]:
    """Body of an answer in pieces of CHUNK bytes at least, but the last; its pace is seen at each read."""
    waiting = bytearray()
    async for piece in response.aiter_raw():
        pace.add(len(piece))
        waiting += piece
        if len(waiting) >= CHUNK:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)


@asynccontextmanager
async def _request(
    client: httpx2.AsyncClient, url: str, headers: dict[str, str]
) -> AsyncIterator[httpx2.Response]:
    async with AsyncExitStack() as stack:
        try:
            async with time_limit(TIMEOUT_OF_HEAD):
                stream = client.stream("GET", url, headers=headers)
                response = await stack.enter_async_context(stream)
        except TimeoutError:
            raise _TransientError(f"no answer came within {TIMEOUT_OF_HEAD} s") from None
        status = response.status_code
        if status >= 500 or status in (httpx2.codes.TOO_MANY_REQUESTS, httpx2.codes.REQUEST_TIMEOUT):
            raise _TransientError(f"HTTP status {status}")
        if status >= 400:
            raise NotFoundError(f"{url} cannot be fetched: HTTP status {status} {response.reason_phrase}")
        yield response


async def _retry(url: str, attempt: Callable[[httpx2.AsyncClient], Awaitable[None]], deadline: float) -> None:
    try:
        async with (
            time_limit(deadline),
            httpx2.AsyncClient(timeout=TIMEOUT, follow_redirects=True, max_redirects=5) as client,
        ):
            async for retry in AsyncRetrying(
                retry=retry_if_exception_type((httpx2.TransportError, _TransientError)),
                stop=stop_after_attempt(ATTEMPTS),
                wait=wait_exponential_jitter(multiplier=0.2, max=5, jitter=0.2),
                reraise=True,
            ):
                with retry:
                    await attempt(client)
    except (httpx2.TransportError, _TransientError) as error:
        reason = str(error) or type(error).__name__
        raise ServiceError(f"{url} cannot be fetched after {ATTEMPTS} attempts: {reason}") from error
    except TimeoutError:
        hint = "raise downloads.deadline in server.conf if the server is slow, and right"
        raise ServiceError(f"{url} cannot be fetched within {deadline:g} s", hint=hint) from None
    except (httpx2.InvalidURL, httpx2.TooManyRedirects) as error:
        raise NotFoundError(f"{url} cannot be fetched: {error}") from error


def _check_size(url: str, size: int, max_bytes: int, hint: str = "") -> None:
    if size > max_bytes:
        raise RefusedError(f"{url} is larger than {max_bytes} bytes", hint=hint)
