# SPDX-License-Identifier: Apache-2.0
"""Fault lost-requests: iPXE's connections that are not answered."""

from __future__ import annotations

from collections.abc import Callable

# Seconds until iPXE sends a SYN again: a quarter of a second at first, then twice as long each time. When
# that would be more than 10 s it gives up (DEFAULT_MIN_TIMEOUT and DEFAULT_MAX_TIMEOUT in its retry.h).
TIMEOUTS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
MESSAGE = "Connection timed out (https://ipxe.org/4c0a6035)"


class RequestLoss:
    """Loss of the first ``count`` SYNs of a boot; the wait for the answers to them is real."""

    def __init__(self, count: int, sleep: Callable[[float], None]) -> None:
        self._left = count
        self._sleep = sleep

    def delay(self) -> None:
        """Wait for the retries of the SYNs that are lost; raises OSError where iPXE gives up."""
        for timeout in TIMEOUTS:
            if not self._left:
                return
            self._left -= 1
            self._sleep(timeout)
        raise OSError(MESSAGE)
