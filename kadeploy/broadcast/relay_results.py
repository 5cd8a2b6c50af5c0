# SPDX-License-Identifier: Apache-2.0
"""Results of the nodes of one broadcast: that of each relay, corrected by the complaints of the others.

A node is ok when its consumer exited with 0 and the digest of what it received is that of the image.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from kadeploy.broadcast.head import Head
from kadeploy.broadcast.integrity import Complaints, compare, digest_problem, fail_for_image
from kadeploy.broadcast.interface import RelayResult, Trouble
from kadeploy.broadcast.relay_handle import RelayHandle
from kadeploy.broadcast.roster import Roster


class RelayResults:
    """Results by node; the first one of a node counts. `changed` is set when there is a new one."""

    def __init__(
        self,
        relays: Mapping[str, RelayHandle],
        roster: Roster,
        head: Head,
        declared: str,
        changed: asyncio.Event,
    ) -> None:
        """`declared`: the image's SHA-256 in hexadecimal, '' for none: then the digest of the head is
        used."""
        self.complaints = Complaints()
        self._relays = relays
        self._roster = roster
        self._head = head
        self._declared = declared.lower()
        self._changed = changed
        self._image_problem = ""

    @property
    def are_complete(self) -> bool:
        """True when there is one of every node."""
        return all(relay.result.done() for relay in self._relays.values())

    def set_result(
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
            self._roster.note_result(relay.recipient.node)
            self._changed.set()

    def fail_image(self, reason: str) -> None:
        """Fail all nodes, since the image itself is wrong."""
        self._image_problem = self._image_problem or reason
        for relay in self._relays.values():
            self.set_result(relay, reason, trouble=Trouble.IMAGE)

    def set_early_results(self, names: Sequence[str]) -> None:
        """Set the early results of nodes that no other needs any more, except those that others complain
        of."""
        new = [name for name in names if not self._relays[name].early_result.done()]
        new = [name for name in new if not self._has_complainers(name)]
        results = self.judge() if new else {}
        for name in new:
            self._relays[name].early_result.set_result(results[name])

    def judge(self) -> Mapping[str, RelayResult]:
        """Compare digests and judge complaints; returns the results of the nodes that have one."""
        actual = self._head.sha256
        if problem := digest_problem(self._declared, actual):
            self.fail_image(problem)
        results = {name: self._result(relay) for name, relay in self._relays.items() if relay.result.done()}
        if self._image_problem:
            return fail_for_image(results, self._image_problem)
        results = {name: compare(result, self._declared or actual) for name, result in results.items()}
        return self.complaints.judge(results)

    def _result(self, relay: RelayHandle) -> RelayResult:
        member = self._roster.member(relay.recipient.node)
        return replace(relay.result.result(), notes=tuple(member.notes), moved=member.moved)

    def _has_complainers(self, name: str) -> bool:
        """True when a node that has no result yet complains of this one."""
        complainers = self.complaints.complainers(name) & self._relays.keys()
        return not all(self._relays[complainer].result.done() for complainer in complainers)
