# SPDX-License-Identifier: Apache-2.0
"""Nodes whose answers are recorded: whatever is not expected of a step fails, and so does what is left over.

An entry of a case's ``does`` is what is expected next, with the node's answer. There are

    run: ARGUMENTS      input, env, timeout, check; a word of several lines is written …
    script: TEXT        arguments, env, timeout, check; our own scripts by their names
    wait_for: pinned    waits for the sshd of the miniOS whose key is pinned
    wait_for_proof: PATH    waits for one that proves itself; ``shows``: what answers, by its key, version,
                            and the secret of its proof (of the key that it ``proves``), or another text
    pin: KEYS           pins host keys
    minios: KEY LEVEL   keeps what later operations know the miniOS by
    forget: connection  drops what connection there is
    keep: FACTS         NodeFacts that have changed, where the journal gets them

and, as answers, status, stdout, stderr; or ``raises``, the name of an error, with ``says``; ``sees``, what
a wait sees; ``hangs`` where it does not end. ``env: variables`` are those of the deployment, all of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from kadeploy import errors
from kadeploy.boot.proof import prove
from kadeploy.disks import bootloader, partitions
from kadeploy.errors import RemoteError
from kadeploy.remote.command import SCRIPT_TEXT, Result, describe_command
from kadeploy.remote.handshake import ServerIdentity
from kadeploy.remote.hostkey import Answer, FailedProbe
from kadeploy.steps.workbench import NodeFacts

ANSWERS = frozenset({"status", "stdout", "stderr", "raises", "says", "sees", "hangs", "shows"})
BOOT_ID = "5d2fb1b2-3f0a-4d4a-9c57-0c6e6f6d9a55"
SCRIPTS = {
    bootloader.install_grub_script(): "install-grub.sh",
    bootloader.kernel_files_script(): "kernel-files.sh",
    partitions.host_keys_script(): "host-keys.sh",
}


class Recording:
    """What is expected of a step on some nodes, in order for each of them.

    ``variables`` gives those of a node that scripts get.
    """

    def __init__(self, does: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        self._left = {node: list(entries) for node, entries in does.items()}
        self._facts: dict[str, NodeFacts] = {}
        self.variables: Callable[[str], Mapping[str, str]] = lambda _: {}

    def know(self, node: str, facts: NodeFacts) -> None:
        """What is known of a node before the step."""
        self._facts[node] = replace(facts)

    async def keep(self, node: str, facts: NodeFacts) -> None:
        """Compare what has changed with what is expected to be kept."""
        before, after = asdict(self._facts.get(node, NodeFacts())), asdict(facts)
        self._facts[node] = replace(facts)
        changed = {name: value for name, value in after.items() if value != before[name]}
        if changed:
            self.answer(node, {"keep": {name: self._shown(name, value) for name, value in changed.items()}})

    def _shown(self, name: str, value: Any) -> Any:
        if name == "rebooted_at" and abs(time.time() - value) < 60:
            return "now"
        return list(value) if isinstance(value, tuple) else value

    def answer(self, node: str, call: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer to a call, which must be the next expected one."""
        assert self._left.get(node), f"{node}: nothing more is expected, but {call}"
        entry = self._left[node].pop(0)
        expected = {name: value for name, value in entry.items() if name not in ANSWERS}
        assert call == expected
        return {name: value for name, value in entry.items() if name in ANSWERS}

    async def keep_minios(self, node: str, key: str, level: str) -> None:
        """Compare what later operations will know of the miniOS with what is expected."""
        self.answer(node, {"minios": f"{key} {level}"})

    @property
    def left(self) -> list[Mapping[str, Any]]:
        """What was expected and has not happened."""
        return [entry for entries in self._left.values() for entry in entries]

    def environment(self, node: str, env: Mapping[str, str] | None) -> dict[str, Any]:
        """How a call with these variables is written."""
        if not env:
            return {}
        return {"env": "variables" if env == self.variables(node) else dict(env)}


class RecordedRemote:
    """Stands for NodeConnections, as the steps use them."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    async def run(
        self,
        node: str,
        arguments: Sequence[str],
        *,
        input: bytes | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float,
        check: bool = True,
        on_output: Callable[[bytes], None] | None = None,
    ) -> Result:
        call = {
            "run": ["…" if "\n" in word else word for word in arguments],
            **({"input": _text(input)} if input else {}),
            **self._recording.environment(node, env),
            "timeout": timeout,
            **({} if check else {"check": False}),
        }
        return await self._result(node, call, arguments, check, on_output)

    async def run_script(
        self,
        node: str,
        script: bytes,
        arguments: Sequence[str] = (),
        *,
        env: Mapping[str, str] | None = None,
        timeout: float,
        check: bool = True,
    ) -> Result:
        call = {
            "script": _text(script),
            **({"arguments": list(arguments)} if arguments else {}),
            **self._recording.environment(node, env),
            "timeout": timeout,
            **({} if check else {"check": False}),
        }
        words = ["sh", "-c", SCRIPT_TEXT, "script", str(len(script)), *arguments]
        return await self._result(node, call, words, check, None)

    async def wait_for(
        self, node: str, interval: float, on_attempt: Callable[[FailedProbe], None], slot: object
    ) -> None:
        answer = self._recording.answer(node, {"wait_for": "pinned"})
        self._see(answer, on_attempt)
        if answer.get("hangs"):
            await asyncio.Event().wait()

    def _see(self, answer: Mapping[str, Any], on_attempt: Callable[[FailedProbe], None]) -> None:
        for sight in answer.get("sees", []):
            identity = ServerIdentity(sight.get("key", ""), sight.get("version", ""))
            on_attempt(FailedProbe(Answer(sight["answer"]), sight["text"], identity))

    async def wait_for_proof(
        self,
        node: str,
        path: str,
        judge: Callable[[ServerIdentity, str], Awaitable[FailedProbe | None]],
        interval: float,
        on_attempt: Callable[[FailedProbe], None],
        slot: object,
    ) -> ServerIdentity:
        answer = self._recording.answer(node, {"wait_for_proof": path})
        self._see(answer, on_attempt)
        for shown in answer.get("shows", []):
            identity = ServerIdentity(shown["key"], shown.get("version", ""))
            text = shown.get("text", "")
            if secret := shown.get("secret"):
                text = f"{BOOT_ID} {prove(shown.get('proves', identity.key), BOOT_ID, secret)}\n"
            failed_probe = await judge(identity, text)
            if failed_probe is None:
                return identity
            on_attempt(failed_probe)
        assert answer.get("hangs"), "none was accepted"
        await asyncio.Event().wait()
        raise AssertionError

    def pin(self, node: str, keys: Sequence[str]) -> None:
        self._recording.answer(node, {"pin": list(keys)})

    def forget(self, node: str) -> None:
        self._recording.answer(node, {"forget": "connection"})

    async def _result(
        self,
        node: str,
        call: Mapping[str, Any],
        words: Sequence[str],
        check: bool,
        on_output: Callable[[bytes], None] | None,
    ) -> Result:
        answer = self._recording.answer(node, call)
        if "raises" in answer:
            raise getattr(errors, answer["raises"])(answer["says"])
        stdout, status = answer.get("stdout", ""), answer.get("status", 0)
        if on_output:
            on_output(stdout.encode())
        if answer.get("hangs"):
            await asyncio.Event().wait()
        result = Result(words, status, stdout, answer.get("stderr", ""), 0.1)
        if check and status != 0:  # as NodeConnections say it
            message = f"command '{describe_command(words)}' on {node} exited with status {status}"
            raise RemoteError(message, evidence=result.evidence)
        return result


def _text(data: bytes) -> str:
    return SCRIPTS.get(data) or data.decode()
