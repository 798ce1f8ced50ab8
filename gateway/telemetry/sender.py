"""Posting until it is taken: waits longer and longer, as long as there is hope, and counts what it gives up."""

from __future__ import annotations

import asyncio
import gzip
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from gateway.errors import TidegateError
from gateway.telemetry import otlp
from gateway.telemetry.destination import Destination
from gateway.telemetry.standing import Standing
from gateway.upstream.connection import Head
from gateway.upstream.post import Post

PATIENT = frozenset({401, 403, 408, 429, 502, 503, 504})
"""Statuses after which the same is tried again for as long as it is worth it: also a wrong key may be put right."""

TRIES = 6
"""… and how often after any other 5xx, or a 404 of a score, whose span may not be there yet."""

LONGEST_S = 60.0
PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json", "accept": "application/json"}

Signal = Literal["traces", "metrics", "logs", "scores"]


@dataclass(frozen=True, slots=True)
class Parcel:
    """One request that tells of `count` spans, records, points or scores."""

    signal: Signal
    url: str
    body: bytes
    count: int


class Sender:
    """Posts to one destination, one parcel after the other. `hopeless` tells whether too much waits behind it."""

    def __init__(self, to: Destination, post: Post, standing: Standing, hopeless: Callable[[], bool]) -> None:
        self._to, self._post, self._standing, self._hopeless = to, post, standing, hopeless

    async def send(self, parcel: Parcel) -> None:
        """Until it was taken, refused, or given up."""
        began, wait = time.monotonic(), self._to.wait_s
        for tries in range(1, 1_000_000):
            head, reason = await self.once(parcel)
            if not reason:
                return
            if given_up := self._given_up(head, parcel, tries, began):
                self._standing.drop(parcel.signal, given_up, parcel.count)
                return
            await asyncio.sleep(_pause(head, wait))
            wait = min(2 * wait, LONGEST_S)

    async def once(self, parcel: Parcel) -> tuple[Head | None, str]:
        """The answer, if there was one, and why it is none to be content with."""
        body, headers = self._packed(parcel)
        try:
            head, answer = await self._post.send(parcel.url, body, headers, self._to.deadline_s)
            reason = "" if 200 <= head.status < 300 else f"status {head.status}"
        except TidegateError as error:
            head, reason, answer = None, error.message, b""
        if not reason:
            self._taken(parcel, answer)
        elif not _early(head, parcel):
            self._standing.failed(reason, time.time())
        return head, reason

    def _taken(self, parcel: Parcel, answer: bytes) -> None:
        lost = 0 if parcel.signal == "scores" else min(parcel.count, otlp.rejected(parcel.signal, answer))
        if lost:
            self._standing.drop(parcel.signal, "rejected", lost)
        self._standing.took(parcel.signal, parcel.count - lost, time.time())

    def _given_up(self, head: Head | None, parcel: Parcel, tries: int, began: float) -> str:
        """Why; empty while there is hope."""
        if head and head.status not in PATIENT:
            again = head.status >= 500 or _early(head, parcel)
            if not again or tries >= TRIES:
                return "refused"
        if time.monotonic() - began > self._to.keep_s:
            return "late"
        return "behind" if self._hopeless() else ""

    def _packed(self, parcel: Parcel) -> tuple[bytes, Mapping[str, str]]:
        kind = JSON if parcel.signal == "scores" else PROTOBUF
        if parcel.signal == "scores" or not self._to.gzip:
            return parcel.body, {**kind, **self._to.headers}
        return gzip.compress(parcel.body, 1), {**kind, "content-encoding": "gzip", **self._to.headers}


def _early(head: Head | None, parcel: Parcel) -> bool:
    """Whether it is a score whose span is not there yet, which is usual: spans are taken first and stored later."""
    return head is not None and head.status == 404 and parcel.signal == "scores"


def _pause(head: Head | None, wait: float) -> float:
    """As the answer asks; else a time of its own for each, so that not all come back at once."""
    asked = head.get("retry-after") if head else ""
    if asked.isdigit():
        return min(float(asked), 5 * LONGEST_S)
    return wait * random.uniform(0.5, 1.0)  # noqa: S311 - a pause, not a secret
