"""What rails found in texts before: each turn of a conversation is judged once, and nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.judging import asked

from gateway.config.policy import PatternSpec
from gateway.errors import WorkerFault, WorkerLost
from gateway.policy.docket import Docket
from gateway.policy.memory import ENTRY, Memory, Reader
from gateway.policy.policy import Bench, Bound
from gateway.policy.rail import Caller, Rail, Subject, Tools, Unit
from gateway.policy.rails import pattern
from gateway.policy.rails.guardrails_ai import GuardrailsRail
from gateway.policy.rails.nemo import NemoRail
from gateway.policy.rails.pii import PiiRail
from gateway.policy.vault import Vault
from gateway.policy.verdict import Action, Verdict

Json = Any
texts = st.text("ab @é\ud800", max_size=6)


@dataclass(slots=True)
class Finder:
    """A worker that finds every `@`, as an e-mail address or as what a guard objects to."""

    keep: bool = True
    fixes: bool = False
    fault: str = ""
    short: bool = False
    seen: list[list[str]] = field(default_factory=list)

    async def call(self, method: str, payload: Json, *, deadline_s: float) -> Json:
        self.seen.append(list(payload["texts"]))
        if self.fault == "lost":
            raise WorkerLost("gone")
        if "entities" in payload:
            return {"spans": [_spans(text) for text in payload["texts"]][self.short :]}
        return {"verdicts": [self._opinion(text) for text in payload["texts"]][self.short :], "keep": self.keep}

    def _opinion(self, text: str) -> Json:
        bad = "@" in text
        fixed = text.replace("@", "") if bad and self.fixes else None
        fault = self.fault if bad else ""
        return {"pass": not bad, "text": fixed, "rules": ["at"] if bad and not fault else [], "fault": fault}


def _spans(text: str) -> list[Any]:
    return [[i, i + 1, "EMAIL_ADDRESS", 1.0] for i, char in enumerate(text) if char == "@"]


def pii(worker: Caller, *, restore: bool = False) -> PiiRail:
    return PiiRail("pii", Action.REDACT, ("EMAIL_ADDRESS",), 0.4, restore, worker, 1.0)


def guard(worker: Caller) -> GuardrailsRail:
    return GuardrailsRail("guard", Unit.SENTENCE, Action.REDACT, "g.yaml", worker, 1.0)


def nemo(worker: Caller) -> NemoRail:
    return NemoRail("nemo", Unit.SENTENCE, Action.BLOCK, "nemo", worker, 1.0)


async def judged(
    rail: Rail, said: Sequence[str], reader: Reader | None, vault: Vault | None = None, mark: str = "d/input/0"
) -> tuple[list[Verdict], int]:
    """Its verdicts, and how many texts it did not need to look at."""
    docket = Docket()
    bench = Bench([Bound(rail, 5.0, "closed", enforced=True, mark=mark)], "input", docket, reader=reader)
    passages = [asked(text, path=("messages", n, "content")) for n, text in enumerate(said)]
    verdicts = await bench.judged(Subject(passages, vault=vault or Vault()))
    return verdicts, docket.judgements()[0].remembered


async def test_a_hundred_turns_are_judged_once_each() -> None:
    worker, memory = Finder(), Memory()
    rail, turns = pii(worker), [f"turn {n}" for n in range(100)]
    await judged(rail, turns, memory.reader("ada"))
    _, remembered = await judged(rail, [*turns, "and one more @"], memory.reader("ada"))
    assert [len(seen) for seen in worker.seen] == [100, 1], "all that is new travels in one frame"
    assert remembered == 100


@given(
    st.lists(st.lists(texts, min_size=1, max_size=4), max_size=5), st.sampled_from([pii, guard, nemo]), st.booleans()
)
def test_a_rail_that_remembers_says_what_one_says_that_does_not(
    exchanges: list[list[str]], kind: Any, fixes: bool
) -> None:
    import asyncio  # noqa: PLC0415 - hypothesis calls a function that is not a coroutine

    async def both() -> None:
        memory = Memory(most=4 * ENTRY)  # some is forgotten on the way
        for said in exchanges:
            fresh, _ = await judged(kind(Finder(fixes=fixes)), said, None)
            again, _ = await judged(kind(Finder(fixes=fixes)), said, memory.reader("ada"))
            assert again == fresh

    asyncio.run(both())


async def test_placeholders_are_made_anew_by_every_exchange() -> None:
    memory, worker = Memory(), Finder()
    first, second = Vault(), Vault()
    second.reserve("<EMAIL_ADDRESS_1>")
    await judged(pii(worker, restore=True), ["a@b"], memory.reader("ada"), first)
    (verdict,), remembered = await judged(pii(worker, restore=True), ["a@b"], memory.reader("ada"), second)
    assert remembered == 1
    assert [edit.new for edit in verdict.edits] == ["<EMAIL_ADDRESS_2>"]
    assert second.restored("<EMAIL_ADDRESS_2>") == "@"


@pytest.mark.parametrize("which", ["asker", "mark", "text"])
async def test_nothing_is_known_of_another_asker_rail_or_text(which: str) -> None:
    memory, worker = Memory(), Finder()
    await judged(pii(worker), ["a@b"], memory.reader("ada"))
    asker, mark = ("bob" if which == "asker" else "ada"), ("e/input/0" if which == "mark" else "d/input/0")
    _, remembered = await judged(pii(worker), ["a@c" if which == "text" else "a@b"], memory.reader(asker), mark=mark)
    assert remembered == 0
    assert len(worker.seen) == 2


@pytest.mark.parametrize(
    "worker", [Finder(keep=False), Finder(fixes=True), Finder(fault="ValueError"), Finder(fault="lost")]
)
async def test_what_may_be_otherwise_next_time_or_holds_text_is_asked_again(worker: Finder) -> None:
    memory = Memory()
    for _ in range(2):
        _, remembered = await judged(guard(worker), ["a@b"], memory.reader("ada"))
        assert remembered == 0
    assert len(worker.seen) == 2
    assert memory.size == 0


async def test_an_answer_for_too_few_texts_is_a_fault_and_is_not_kept() -> None:
    memory = Memory()
    with pytest.raises(WorkerFault):
        await pii(Finder(short=True)).inspect(Subject([asked("a"), asked("b")], known=memory.reader("ada").at("m")))
    assert len(memory) == 0


async def test_without_a_mark_nothing_is_remembered() -> None:
    memory, worker = Memory(), Finder()
    for _ in range(2):
        await judged(pii(worker), ["a"], memory.reader("ada"), mark="")
    assert (len(worker.seen), len(memory)) == (2, 0)


async def test_patterns_remember_long_texts_and_say_the_same() -> None:
    spec = PatternSpec(kind="pattern", deny=("se.ret",), action="redact")
    rail, memory = pattern.build(spec, Tools({})), Memory()
    said = ["a sécret, and words and words and words and words and words and words", "secret", "nothing " * 20]
    fresh, _ = await judged(rail, said, None)
    assert (await judged(rail, said, memory.reader("")))[0] == fresh
    again, remembered = await judged(rail, said, memory.reader(""))
    assert again == fresh
    assert remembered == 2


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), max_size=60))
def test_memory_is_bounded_and_forgets_what_was_not_asked_for_longest(puts: list[tuple[int, int]]) -> None:
    memory = Memory(most=5 * ENTRY)
    known = memory.reader("ada").at("m")
    order: list[int] = []
    for text, parts in puts:
        known.put(str(text), [text], parts=parts)
        order = [*(one for one in order if one != text), text]
        assert memory.size <= memory.most
        kept = [one for one in order if known.get(str(one)) == [one]]
        assert kept == order[len(order) - len(kept) :]
        assert known.get(str(text)) == [text]
        order = kept
    assert memory.size == 0 or len(memory) > 0


def test_no_text_and_no_hash_that_another_process_could_make_stands_in_it() -> None:
    secret = "correct horse battery staple"
    one, other = Memory(), Memory()
    for memory in (one, other):
        memory.reader("ada").at("m").put(secret, ["EMAIL_ADDRESS"], parts=1)
    assert secret not in repr(one)
    assert secret not in str(one._kept)
    assert not one._kept.keys() & other._kept.keys()
