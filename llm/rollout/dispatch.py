"""Sharing requests out over engines, some of which may die meanwhile."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayActorError, RayTaskError

from llm.rollout.engine import EngineError, EnginesAway, Reply
from llm.rollout.health import Member

_TICK = 0.5  # seconds between looks at who is silent
_AHEAD = 2  # chunks sent to an engine: it begins the next while the answers to one travel


def cut(count: int, engines: int, answers: int) -> list[range]:
    """Chunks of requests: one an engine, or two where they are large enough to be batched well all the same.

    Parameters
    ----------
    count
        Requests.
    engines
        To share them.
    answers
        Asked for in all.
    """
    parts = engines * (2 if answers >= 2 * engines * _BATCH else 1)
    size = max(1, -(-count // parts))
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


_BATCH = 256  # answers beyond which a larger batch is not faster


@dataclass
class Dispatch:
    """One call for all engines: every request is sent at least once, every answer taken once.

    Parameters
    ----------
    engines
        Handles of the actors, by name.
    members
        What the client knows of them; brought up to date.
    patience
        Seconds without a working engine after which the call fails.
    silence
        Seconds without an answer after which an engine is asked for a sign of life, and without that as many again
        until its requests go to others too.
    """

    engines: Mapping[str, Any]
    members: Mapping[str, Member]
    patience: float
    silence: float = 15.0
    tokens: int = 0
    engine_seconds: float = 0.0
    resent: int = 0
    _chunks: deque[range] = field(default_factory=deque)
    _sent: dict[ray.ObjectRef, tuple[str, range]] = field(default_factory=dict)
    _asked: dict[ray.ObjectRef, tuple[str, float]] = field(default_factory=dict)  # signs of life awaited, since when
    _heard: dict[str, float] = field(default_factory=dict)

    def run(self, method: str, items: Sequence[Any], arguments: tuple[Any, ...]) -> list[Any]:
        """The engines' answers to all items, in order.

        Parameters
        ----------
        method
            "generate" (items are requests) or "score" (pairs of prompt and completion).
        arguments
            That every call takes beside its items.
        """
        answers: list[Any] = [None] * len(items)
        working = sum(member.works for member in self.members.values())
        wanted = sum(item.n for item in items) if method == "generate" else len(items)
        self._chunks.extend(cut(len(items), max(1, working), wanted))
        alone_since = time.monotonic()
        while any(answer is None for answer in answers):
            self._send(method, items, arguments, answers)
            if any(member.works for member in self.members.values()):
                alone_since = time.monotonic()
            self._give_up_after(time.monotonic() - alone_since)
            ready, _ = ray.wait([*self._sent, *self._asked], num_returns=1, timeout=_TICK)
            for reference in ready:
                if reference in self._asked:
                    self._hear(reference)
                else:
                    self._take(reference, answers)
            self._look_for_the_silent()
        return answers

    def _send(self, method: str, items: Sequence[Any], arguments: tuple[Any, ...], answers: list[Any]) -> None:
        """Give chunks to the engines that have least to do; ask those that are not known to work for a sign of life."""
        load = Counter(name for name, _ in self._sent.values())
        for name, member in self.members.items():
            if member.state in ("restarting", "suspect") and name not in {other for other, _ in self._asked.values()}:
                self._ask(name)
        while self._chunks:
            free = [name for name, member in self.members.items() if member.works and load[name] < _AHEAD]
            if not free:
                return
            chunk = self._chunks.popleft()
            if answers[chunk.start] is not None:  # an engine thought lost has answered after all
                continue
            name = min(free, key=lambda name: load[name])
            part = [items[place] for place in chunk]
            given = (part,) if method == "generate" else tuple(zip(*part, strict=True))
            reference = getattr(self.engines[name], method).remote(*given, *arguments)
            self._sent[reference] = (name, chunk)
            self._heard.setdefault(name, time.monotonic())
            load[name] += 1

    def _take(self, reference: ray.ObjectRef, answers: list[Any]) -> None:
        name, chunk = self._sent.pop(reference)
        try:
            reply = ray.get(reference)
        except RayTaskError as error:
            raise error.cause from None
        except RayActorError as error:
            self._lose(name, error)
            self._return(chunk, answers)
            return
        self._heard[name] = time.monotonic()
        self.members[name].tell("loaded")
        if answers[chunk.start] is not None:
            return
        if isinstance(reply, Reply):
            self.tokens += reply.tokens
            self.engine_seconds += reply.seconds
            reply = reply.completions
        for place, answer in zip(chunk, reply, strict=True):
            answers[place] = answer

    def _return(self, chunk: range, answers: list[Any]) -> None:
        if answers[chunk.start] is None:
            self._chunks.appendleft(chunk)
            self.resent += len(chunk)

    def _ask(self, name: str) -> None:
        self._asked[self.engines[name].pulse.remote()] = (name, time.monotonic())

    def _hear(self, reference: ray.ObjectRef) -> None:
        name, _ = self._asked.pop(reference)
        try:
            ray.get(reference)
        except RayActorError as error:
            self._lose(name, error)
        else:
            self._heard[name] = time.monotonic()
            self.members[name].tell("answered")

    def _lose(self, name: str, error: RayActorError) -> None:
        ended = isinstance(error, ActorDiedError) and not isinstance(error, ActorUnavailableError)
        self.members[name].tell("ended" if ended else "lost", last_line(error))

    def _look_for_the_silent(self) -> None:
        """Ask engines that have not been heard of for long; send the requests of those that do not answer again."""
        now, asked = time.monotonic(), {name: since for name, since in self._asked.values()}
        for name in {name for name, _ in self._sent.values()}:
            member = self.members[name]
            if not member.works or now - self._heard[name] < self.silence:
                continue
            if name not in asked:
                self._ask(name)
            elif now - asked[name] > self.silence:
                member.tell("silent", f"no sign of life for {now - self._heard[name]:.0f} s")
                for holder, chunk in self._sent.values():
                    if holder == name:
                        self._chunks.append(chunk)
                        self.resent += len(chunk)

    def _give_up_after(self, alone: float) -> None:
        """Fail where nobody has worked for too long, or nobody ever will again."""
        members = self.members.values()
        gone = all(member.state == "dead" for member in members)
        if gone or alone > self.patience:
            heard = "; ".join(f"{member.name} {member.state}: {member.error or 'silent'}" for member in members)
            if gone:
                raise EngineError(f"no engine is left: {heard}")
            raise EnginesAway(f"no engine has answered for {alone:.0f} s: {heard}")


def last_line(error: Exception) -> str:
    """Of what Ray says of an actor's end: the error itself, after the calls that led to it."""
    return str(error).strip().splitlines()[-1].strip()
