"""Whatever way an answer arrives, its rails say and do the same; and what a block covers never arrives."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.answers import DONE, completion, delta, event
from support.paths import ASK, Canned, Heard, run, stream_of, streamed, unstreamed, walked
from support.rails import Words, bound, policy

from gateway.policy import channel
from gateway.policy.docket import Docket
from gateway.policy.policy import Bench, Bound, Policy
from gateway.policy.rail import Subject, Unit
from gateway.policy.vault import Vault
from gateway.policy.verdict import Action, Edit, Verdict
from gateway.policy.window import Window
from gateway.wire import chat

WORDS = ("bad", "ab", "abab", "aa", "b. B", "é?", "\n\n")
SCRAPS = ("b", "a", "d", "bad", "abab", "aa", " ", ". ", "B", "é", "?", "\n", "。", "word ", "Mr. ", "\U0001f600", '"')
PLACES = ("content", "reasoning_content", "refusal", "arguments0", "arguments1")


@pytest.fixture(autouse=True, scope="module")
def forgetful() -> Iterator[None]:
    """Texts in tests are short: forget them as soon as long ones would be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(channel, "_KEPT", 0)
        yield


texts = st.lists(st.sampled_from(SCRAPS), min_size=1, max_size=14).map("".join)
cuts = st.lists(st.integers(min_value=0, max_value=40), max_size=6)


@dataclass(frozen=True)
class Piece:
    choice: int
    place: str
    text: str


@st.composite
def said(draw: st.DrawFn) -> tuple[dict[tuple[int, str], str], list[Piece]]:
    """Some texts, and the pieces in which they come, those of different texts in any order."""
    keys = draw(st.lists(st.tuples(st.integers(0, 1), st.sampled_from(PLACES)), min_size=1, max_size=3, unique=True))
    whole = {key: draw(texts) for key in keys}
    queues = {key: _cut(text, draw(cuts)) for key, text in whole.items()}
    order = draw(st.permutations([key for key, parts in queues.items() for _ in parts]))
    return whole, [Piece(*key, queues[key].pop(0)) for key in order]


def _cut(text: str, where: list[int]) -> list[str]:
    marks = sorted({0, len(text), *(w for w in where if w < len(text))})
    return [text[a:b] for a, b in pairwise(marks)]


@st.composite
def rails(draw: st.DrawFn, actions: Sequence[Action] = tuple(Action)[1:]) -> Bound:
    words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=3, unique=True))
    action, unit = draw(st.sampled_from(actions)), draw(st.sampled_from(list(Unit)))
    rail = Words(draw(st.sampled_from("pqr")), tuple(words), action, unit, draw(st.sampled_from(("[gone]", "", "b"))))
    return Bound(rail, 30.0, "closed", enforced=True, flags=action is Action.FLAG)


bounds = st.lists(rails(), max_size=3, unique_by=lambda b: b.rail.name)
shadows = bounds.map(lambda found: [replace(b, enforced=False) for b in found])
policies = st.one_of(bounds, bounds, shadows).map(lambda found: policy(outward=found))


def streamed_bytes(pieces: Sequence[Piece]) -> bytes:
    choices = sorted({piece.choice for piece in pieces})
    ends = [delta(finish="stop") for _ in choices]
    for end, choice in zip(ends, choices, strict=True):
        end["choices"][0]["index"] = choice
    return b"".join([*map(event, map(_chunk, pieces)), *map(event, ends), DONE])


def _chunk(piece: Piece) -> dict[str, Any]:
    if piece.place.startswith("arguments"):
        calls = [{"index": int(piece.place[-1]), "function": {"arguments": piece.text}}]
        chunk = delta(tool_calls=calls)
    else:
        chunk = delta(**{piece.place: piece.text})
    chunk["choices"][0]["index"] = piece.choice
    return chunk


def answer_of(whole: dict[tuple[int, str], str]) -> dict[str, Any]:
    choices = []
    for index in sorted({choice for choice, _ in whole}):
        message: dict[str, Any] = {"role": "assistant"}
        message |= {place: text for (choice, place), text in whole.items() if choice == index and place[-1] not in "01"}
        calls = [{"function": {"arguments": whole.get((index, f"arguments{n}"), "")}} for n in (0, 1)]
        choices.append({"index": index, "message": {**message, "tool_calls": calls}, "finish_reason": "stop"})
    return {"object": "chat.completion", "choices": choices}


def told(heard: Heard) -> dict[tuple[int, str], str]:
    """What a client of a stream put together."""
    return {(key[0], f"arguments{key[2]}" if len(key) > 2 else key[1]): text for key, text in heard.texts().items()}


def read(heard: Heard, whole: dict[tuple[int, str], str]) -> dict[tuple[int, str], str]:
    """What a client of an unstreamed answer finds."""
    messages = {choice["index"]: choice["message"] for choice in heard.json()["choices"]}
    return {
        (index, place): messages[index]["tool_calls"][int(place[-1])]["function"]["arguments"]
        if place.startswith("arguments")
        else messages[index][place]
        for index, place in whole
    }


def split(raw: bytes, where: list[int]) -> list[bytes]:
    marks = sorted({0, len(raw), *(w * len(raw) // 1000 for w in where)})
    return [raw[a:b] for a, b in pairwise(marks)]


def judged(heard: Heard) -> list[tuple[Any, ...]]:
    return sorted((j.rail, j.action, j.rules, j.count, j.fault) for j in heard.record.judgements)


byte_cuts = st.lists(st.integers(0, 1000), max_size=30)


@settings(max_examples=1500, deadline=None)
@given(policies, said(), byte_cuts)
@example(
    policy(outward=[bound(Words("p", ("bad",), Action.REDACT)), bound(Words("q", ("b", "ad x"), Action.REDACT))]),
    ({(0, "content"): "a bad x"}, [Piece(0, "content", "a b"), Piece(0, "content", "ad x")]),
    [],
)
def test_a_stream_is_judged_and_rewritten_as_the_whole_answer_is(
    rules: Policy, answer: tuple[dict[tuple[int, str], str], list[Piece]], where: list[int]
) -> None:
    whole, pieces = answer
    one = run(unstreamed(rules, answer_of(whole)))
    many = run(streamed(rules, split(streamed_bytes(pieces), where)))
    assert many.record.verdict == one.record.verdict
    assert many.record.outcome == one.record.outcome
    assert many.record.scanned == many.record.scannable
    if one.record.outcome == "completed":
        assert told(many) == {key: text for key, text in read(one, whole).items() if key in told(many)}
        assert all(text == "" for key, text in read(one, whole).items() if key not in told(many))
        assert judged(many) == judged(one)


@settings(max_examples=500, deadline=None)
@given(st.lists(rails(actions=(Action.BLOCK, Action.FLAG)), min_size=1, max_size=2), said(), byte_cuts)
def test_nothing_of_what_a_rail_blocks_is_delivered(
    bounds: list[Bound], answer: tuple[dict[tuple[int, str], str], list[Piece]], where: list[int]
) -> None:
    whole, pieces = answer
    heard = run(streamed(policy(outward=bounds), split(streamed_bytes(pieces), where)))
    if heard.status == 200:
        for key, text in told(heard).items():
            assert whole[key].startswith(text)
            blocking = [b.rail for b in bounds if b.acts and isinstance(b.rail, Words)]
            assert not any(rail.found(text) for rail in blocking)


@settings(max_examples=300, deadline=None)
@given(said(), byte_cuts)
def test_what_no_rail_touches_arrives_byte_for_byte(
    answer: tuple[dict[tuple[int, str], str], list[Piece]], where: list[int]
) -> None:
    raw = streamed_bytes(answer[1])
    rules = policy(outward=[bound(Words(unit.value, ("never said",), Action.BLOCK, unit)) for unit in Unit])
    for rails_ in (policy(), rules):
        heard = run(streamed(rails_, split(raw, where)))
        assert heard.raw == raw
        assert (heard.record.outcome, heard.record.verdict) == ("completed", "allow")


async def test_text_is_held_only_while_a_match_may_be_going_on() -> None:
    parts = [event(delta(text)) for text in ("I am b", "lue", ", ba", "nana, ", "ba", "d")]
    heard = await streamed(policy(outward=[bound(Words("p", ("bad",)))]), parts)
    assert heard.pieces[:2] == [parts[0] + parts[1], parts[2] + parts[3]]
    assert heard.chunks()[-1]["error"]["code"] == "content_filter"
    assert heard.texts() == {(0, "content"): "I am blue, banana, "}


async def test_rails_that_only_watch_hold_nothing_and_change_nothing() -> None:
    parts = [event(delta(text)) for text in ("it is b", "ad. T", "oo b", "ad")]
    raw = [*parts, event(delta(finish="stop")), DONE]
    watching = [bound(Words(u.value, ("bad",), Action.REDACT, u), enforced=False) for u in Unit]
    flagging = [Bound(Words(f"f{u.value}", ("bad",), Action.FLAG, u), 30.0, "closed", True, True) for u in Unit]
    heard = await streamed(policy(outward=[*watching, *flagging]), raw)
    assert heard.pieces == [*raw[:-1], DONE]
    assert heard.record.verdict == "flag"
    assert {(j.rail, j.action, j.count, j.enforced) for j in heard.record.judgements} == {
        *((u.value, "redact", 2, False) for u in Unit),
        *((f"f{u.value}", "flag", 2, True) for u in Unit),
    }


async def test_rails_of_a_wider_unit_see_what_narrower_ones_left() -> None:
    sentences = Words("s", ("[gone] one",), Action.REDACT, Unit.SENTENCE, "[S]")
    answers = Words("a", ("[S]. Two",), Action.REDACT, Unit.ANSWER, "[A]")
    outward = [bound(answers), bound(sentences), bound(Words("m", ("bad",), Action.REDACT))]
    whole = {(0, "content"): "A bad one. Two bad. Three."}
    one = await unstreamed(policy(outward=outward), answer_of(whole))
    assert read(one, whole) == {(0, "content"): "A [A] [gone]. Three."}
    assert answers.seen == ["A [S]. Two [gone]. Three."]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("Keep", "it"), "Kept [-] go. Kept on."),
        (("go",), "Keep [-] Kept. Keep on."),
        (("Now",), "Keep [-] go. Keep on."),
    ],
)
async def test_what_a_wider_rail_rewrites_does_not_bring_back_what_a_narrower_one_took(
    words: tuple[str, ...], expected: str
) -> None:
    """The narrower rail's match reaches over the end of a sentence; the wider one rewrites before it, or behind it."""
    sentences = Words("s", words, Action.REDACT, Unit.SENTENCE, "Kept")
    outward = [bound(sentences), bound(Words("m", ("it. Now",), Action.REDACT, new="[-]"))]
    whole = {(0, "content"): "Keep it. Now go. Keep on."}
    assert read(await unstreamed(policy(outward=outward), answer_of(whole)), whole) == {(0, "content"): expected}
    pieces = [event(_chunk(Piece(0, "content", char))) for char in whole[0, "content"]]
    stream = [*pieces, event(delta(finish="stop"))]
    assert told(await streamed(policy(outward=outward), stream)) == {(0, "content"): expected}


async def test_where_a_pattern_blocks_no_wider_rail_is_asked() -> None:
    wider = [Words(unit.value, ("x",), unit=unit) for unit in (Unit.SENTENCE, Unit.ANSWER)]
    rules = policy(outward=[*map(bound, wider), bound(Words("p", ("bad",)))])
    for heard in (
        await streamed(rules, [event(delta("It is bad. Yes"))]),
        await unstreamed(rules, completion("So bad.")),
    ):
        assert heard.record.outcome == "blocked"
    assert [rail.seen for rail in wider] == [[], []]


async def test_rails_that_only_watch_see_unknown_fields_too() -> None:
    rail = Words("s", ("bad",), unit=Unit.SENTENCE)
    noted = [event({**delta("Hello. "), "note": f"so bad {n}"}) for n in range(200)]
    heard = await streamed(policy(outward=[bound(rail, enforced=False)]), [*noted, event(delta(finish="stop")), DONE])
    assert heard.raw == b"".join([*noted, event(delta(finish="stop")), DONE])
    assert heard.record.judgements[0].count == 200


async def test_no_more_is_remembered_than_what_may_come_again() -> None:
    window = Window(Bench([bound(Words("p", ("bad",)))], "output", Docket()), Vault())
    for n in range(1000):
        span = window.feed(None, chat.Delta(None, ("note",), f"note {n}", "field"))
        assert (await window.judge()).action is Action.ALLOW
        assert span.clear
    assert len(window.known) <= 64
    assert window.alone == []


@dataclass(slots=True)
class Ending:
    """Puts a full stop where a text has none: an edit that only inserts."""

    name: str = "ending"
    unit: Unit = Unit.SENTENCE

    async def inspect(self, subject: Subject) -> Sequence[Verdict]:
        return [self._verdict(p.text) for p in subject.passages]

    def _verdict(self, text: str) -> Verdict:
        at = len(text.rstrip())
        return Verdict(Action.REDACT, frozenset(), frozenset({Edit(at, at, "!"), Edit(0, 0, "¡")}))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(Unit)[1:]), texts, cuts)
def test_what_a_rail_inserts_stands_where_it_said(unit: Unit, text: str, where: list[int]) -> None:
    rules = policy(outward=[bound(Ending(unit=unit))])
    whole = {(0, "content"): text}
    pieces = [Piece(0, "content", part) for part in _cut(text, where)]
    expected = read(run(unstreamed(rules, answer_of(whole))), whole)
    assert told(run(streamed(rules, [event(_chunk(p)) for p in pieces] + [event(delta(finish="stop"))]))) == expected
    assert expected[0, "content"].count("!") == expected[0, "content"].count("¡") > 0
    assert expected[0, "content"].replace("!", "").replace("¡", "") == text


# Placeholders


@dataclass(slots=True)
class Masks:
    """Takes names out of what the model sees."""

    name: str = "names"
    unit: Unit = Unit.SENTENCE

    async def inspect(self, subject: Subject) -> Sequence[Verdict]:
        return [self._verdict(p.text, subject.vault) for p in subject.passages]

    def _verdict(self, text: str, vault: Vault) -> Verdict:
        found = [(m.start(), m.end(), m[0]) for m in re.finditer('Ann|B"o', text)]
        return Verdict(
            Action.REDACT, frozenset(), frozenset(Edit(a, b, vault.placeholder("NAME", n)) for a, b, n in found)
        )


ASKED = {**ASK, "messages": [{"role": "user", "content": 'Ann and B"o, not <NAME_1>'}]}
MASKED = ("<NAME_2>", "<NAME_3>")
replies = st.lists(st.sampled_from([*MASKED, "<NAME_1>", "<NAME_", "<", ">", " bad ", ". ", "Hi"]), max_size=8)


@settings(max_examples=400, deadline=None)
@given(
    replies.map("".join), cuts, byte_cuts, st.sampled_from((None, *Unit)), st.sampled_from(("content", "arguments0"))
)
@example("<NAME_2><NAME_3>", [1, 9], [], None, "content")
def test_placeholders_are_given_back_however_they_are_cut(
    said: str, where: list[int], bytewise: list[int], unit: Unit | None, place: str
) -> None:
    outward = [bound(Words("p", ("bad",), Action.REDACT, unit))] if unit else []
    rules = policy(inward=[bound(Masks())], outward=outward)
    raw = streamed_bytes([Piece(0, place, part) for part in _cut(said, where)] or [Piece(0, place, "x")])
    up = Canned(split(raw, bytewise))
    heard = run(walked(rules, up, body={**ASKED, "stream": True}))
    assert orjson.loads(up.asks[0].body)["messages"][0]["content"] == "<NAME_2> and <NAME_3>, not <NAME_1>"
    second = 'B\\"o' if place == "arguments0" else 'B"o'
    expected = said.replace("<NAME_2>", "Ann").replace("<NAME_3>", second).replace("bad", "[gone]" if unit else "bad")
    assert told(heard) == {(0, place): expected or "x"}


async def test_what_a_rail_took_out_is_not_given_back() -> None:
    rules = policy(inward=[bound(Masks())], outward=[bound(Words("p", ("<NAME_2>",), Action.REDACT))])
    up = Canned(stream_of(delta("Dear <NA"), delta("ME_2>!"), delta(finish="stop")))
    heard = await walked(rules, up, body={**ASKED, "stream": True})
    assert told(heard) == {(0, "content"): "Dear [gone]!"}


async def test_a_placeholder_in_what_a_rail_wrote_is_given_back() -> None:
    wide = Words("p", ("Dear <NAME_2>",), Action.REDACT, Unit.SENTENCE, "Hello <NAME_2>")
    rules = policy(inward=[bound(Masks())], outward=[bound(wide)])
    up = Canned(stream_of(delta("Dear <NA"), delta("ME_2>!"), delta(finish="stop")))
    heard = await walked(rules, up, body={**ASKED, "stream": True})
    assert told(heard) == {(0, "content"): "Hello Ann!"}
