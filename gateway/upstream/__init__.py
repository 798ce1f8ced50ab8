"""Who answers: one small interface over OpenAI-compatible servers, every provider of litellm, and an embedded model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


class Chunks(Protocol):
    """Bytes as they come; an async generator is one. Leaving them early is said by `aclose`."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...
    def __anext__(self) -> Awaitable[bytes]: ...
    def aclose(self) -> Awaitable[None]: ...


@runtime_checkable
class Flowing(Protocol):
    """Chunks that can be poured out: each goes to `sink` the moment it comes, with no task being woken for it.

    `flow` returns True when `sink` says that it wants no more, False at the end; it raises what `sink` raises.
    """

    async def flow(self, sink: Callable[[bytes], bool]) -> bool: ...


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to an upstream: `endpoint` as in `/chat/completions`, the body's bytes as they are to be sent.

    `headers` are those the gateway adds (trace context); never the client's own.
    """

    endpoint: str
    body: bytes
    stream: bool
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """An upstream's answer. `chunks` yields the body's bytes as they come, decoded of any content encoding.

    Leaving `chunks` (its `aclose`) closes the upstream's connection. It raises `UpstreamBroken` where the body ends
    before it is whole and `UpstreamTimeout` where it stalls.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    chunks: Chunks

    def header(self, name: str, default: str = "") -> str:
        return next((v for k, v in self.headers if k.lower() == name), default)


class Upstream(Protocol):
    """`send` opens a reply and closes it on exit; raises `UpstreamError`, or `NotSupported` for what it cannot do."""

    name: str

    def send(self, ask: Ask) -> AbstractAsyncContextManager[Reply]: ...
