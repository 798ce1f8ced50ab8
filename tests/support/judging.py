"""One rail over an answer, streamed in pieces through a window or judged at once."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterable, Sequence
from itertools import pairwise

from support.rails import bound

from gateway.policy.docket import Docket
from gateway.policy.policy import Bench
from gateway.policy.rail import Rail, Subject
from gateway.policy.vault import Vault
from gateway.policy.verdict import ALLOW, Action, Verdict
from gateway.policy.window import Window
from gateway.wire.passage import Passage, Path


def answer(text: str, channel: str = "content", path: Path = ("choices", 0, "message", "content")) -> Passage:
    return Passage(path, "assistant", "output", text, channel)


def asked(text: str, role: str = "user", channel: str = "content", path: Path = ("messages", 0, "content")) -> Passage:
    return Passage(path, role, "input", text, channel)


def cut(text: str, where: Iterable[int]) -> list[str]:
    """`text` in pieces, none of them empty."""
    marks = sorted({0, len(text), *(at for at in where if 0 < at < len(text))})
    return [text[a:b] for a, b in pairwise(marks)]


def at_once(rail: Rail, *passages: Passage, question: str = "") -> list[Verdict]:
    return list(asyncio.run(inspected(rail, *passages, question=question)))


async def inspected(rail: Rail, *passages: Passage, question: str = "") -> Sequence[Verdict]:
    return await rail.inspect(Subject(passages, question))


def streamed(rail: Rail, pieces: Sequence[Passage], keys: Sequence[Hashable] = ()) -> tuple[Verdict, str]:
    """What a stream of `pieces` comes to, and what of it was delivered.

    Each continues the text that its key names, or that stands at its path.
    """
    return asyncio.run(_streamed(rail, pieces, keys or [piece.path for piece in pieces]))


async def _streamed(rail: Rail, pieces: Sequence[Passage], keys: Sequence[Hashable]) -> tuple[Verdict, str]:
    window = Window(Bench([bound(rail)], "output", Docket()), Vault())
    spans, delivered, said = [], "", ALLOW
    for n in range(len(pieces) + 1):
        if n < len(pieces):
            spans.append(window.feed(keys[n], pieces[n]))
        else:
            window.finish()
        judged = window.judged() if n % 3 else None  # both ways come to the same
        said |= await window.judge() if judged is None else judged
        if said.action is Action.BLOCK:
            return said, delivered
        while spans and spans[0].clear:
            delivered += spans.pop(0).delivered()
    assert not spans, "everything is clear in the end"
    return said, delivered
