# SPDX-License-Identifier: Apache-2.0
"""How fast the wires are and how large the file is, so that two processors can play all the nodes."""

from __future__ import annotations

MEGABIT = 1_000_000
RATES = tuple(megabits * MEGABIT for megabits in (100, 80, 40, 20, 10, 5, 2))  # bits per second, of each wire
# Bits per second of all wires together: beyond that it is the processors that are measured, which have to
# carry everything through the queues at two ends of each wire and through a bridge.
TOTAL_RATE = 700 * MEGABIT
LINE_SECONDS = 6.7  # that a file takes at the rate of the wires, without any header
STAR_SECONDS = (
    16.0  # the same, for all nodes one after the other, of a method that sends to each from the head
)
PAGE = 4096
LARGEST_BLOCK = 1 << 16
BLOCK_SHARE = 0.01  # of the line time that all nodes together may take to fill a block each
# Per 1448 bytes of TCP's data: headers of TCP with timestamps, IP and Ethernet, as the queue counts them.
FLOOR = 1514 / 1448


def rate_for(nodes: int) -> int:
    """The fastest wires, in bits per second, of which so many are not too much; the slowest, if all are."""
    return next((rate for rate in RATES if nodes * rate <= TOTAL_RATE), RATES[-1])


def size_for(rate: int, seconds: float) -> int:
    """Bytes that take so long at so many bits per second, whole pages, at least one."""
    return max(PAGE, int(rate * seconds / 8) // PAGE * PAGE)


def star_seconds(nodes: int, seconds: float) -> float:
    """Line time of the file for a method that sends it from the head to each node: `seconds`, or less."""
    return min(seconds, STAR_SECONDS / nodes)


def block_for(nodes: int, rate: int) -> int:
    """Bytes that a node of a chain may wait for until it sends them on: a power of two."""
    block = LARGEST_BLOCK
    while block > PAGE and nodes * block * 8 / rate > BLOCK_SHARE * LINE_SECONDS:
        block //= 2
    return block


def ratio(seconds: float, size: int, rate: int) -> float:
    """Ratio of the time to that of all the bytes at `rate` bits per second; at least ``FLOOR``."""
    return seconds / (size * 8 / rate)
