"""Answers in a Redis or Valkey that gateways share. Without it there are none, and every request is answered anew."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.cache.entry import Entry
from gateway.store import Link, Lost


@dataclass(frozen=True, slots=True)
class Shared:
    """`entry.Answers` over a link."""

    link: Link

    async def get(self, place: str) -> Entry | None:
        try:
            raw = await self.link.call(lambda client: client.get(self._key(place)))
        except Lost:
            return None
        return Entry.unpacked(raw) if isinstance(raw, bytes) else None

    async def put(self, place: str, entry: Entry, ttl_s: float) -> None:
        try:
            await self.link.call(lambda client: client.set(self._key(place), entry.packed(), px=int(ttl_s * 1000) or 1))
        except Lost:
            return

    def _key(self, place: str) -> str:
        return f"{self.link.prefix}:answer:{place}"
