# SPDX-License-Identifier: Apache-2.0
"""Results of the nodes of one broadcast: what each relay reports, judged by what all of them report.

A node is ok when its consumer exited with 0 and the digest of what it received is that of the image.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from kadeploy.broadcast.head import Head
from kadeploy.broadcast.integrity import Disputes, compare, digest_problem, spoiled
from kadeploy.broadcast.interface import RelayResult, Trouble
from kadeploy.broadcast.relay_handle import RelayHandle
from kadeploy.broadcast.roster import Roster


class RelayResults:
    """Results by node, of which the first stands. `news` is set when there is another one."""

    def __init__(
        self,
        relays: Mapping[str, RelayHandle],
        roster: Roster,
        head: Head,
        declared: str,
        news: asyncio.Event,
    ) -> None:
        """`declared`: the image's SHA-256 in hexadecimal, '' for none: then the head's counts."""
        self.disputes = Disputes()
        self._relays = relays
        self._roster = roster
        self._head = head
        self._declared = declared.lower()
        self._news = news
        self._image_problem = ""

    @property
    def are_complete(self) -> bool:
        """True when there is one of every node."""
        return all(relay.result.done() for relay in self._relays.values())

    def settle(
        self,
        relay: RelayHandle,
        reason: str,
        evidence: str = "",
        trouble: Trouble = Trouble.PEERS,
        digest: str = "",
    ) -> None:
        """Set the result of a node, unless it has one. `digest` is that of what it received, '' for none."""
        if not relay.result.done():
            seconds = time.monotonic() - relay.began
            relay.result.set_result(RelayResult(trouble, reason, evidence, relay.received, digest, seconds))
            self._roster.settle(relay.recipient.node)
            self._news.set()

    def spoil(self, reason: str) -> None:
        """Fail all nodes: the image itself is to blame."""
        self._image_problem = self._image_problem or reason
        for relay in self._relays.values():
            self.settle(relay, reason, trouble=Trouble.IMAGE)

    def set_early_results(self, names: Sequence[str]) -> None:
        """Set the early results of nodes that no other needs any more, but of none that is in a dispute."""
        new = [name for name in names if not self._relays[name].early_result.done()]
        new = [name for name in new if not self._is_disputed(name)]
        results = self.judged() if new else {}
        for name in new:
            self._relays[name].early_result.set_result(results[name])

    def judged(self) -> Mapping[str, RelayResult]:
        """Compare digests and judge complaints; returns the results of the nodes that have one."""
        actual = self._head.sha256
        if problem := digest_problem(self._declared, actual):
            self.spoil(problem)
        results = {name: self._result(relay) for name, relay in self._relays.items() if relay.result.done()}
        if self._image_problem:
            return spoiled(results, self._image_problem)
        results = {name: compare(result, self._declared or actual) for name, result in results.items()}
        return self.disputes.judge(results)

    def _result(self, relay: RelayHandle) -> RelayResult:
        member = self._roster.member(relay.recipient.node)
        return replace(relay.result.result(), notes=tuple(member.notes), moved=member.moved)

    def _is_disputed(self, name: str) -> bool:
        """True when a node without a result reports that this one damages what it passes on."""
        accusers = self.disputes.accusers(name) & self._relays.keys()
        return not all(self._relays[accuser].result.done() for accuser in accusers)
