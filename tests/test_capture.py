"""The texts that an exchange leaves in its record: none, as they were passed on, or as they came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.answers import completion, delta
from support.paths import JSON, SSE, Canned, Heard, call, pipeline, run, stream_of
from support.rails import Doing, Words, bound, policy

from gateway.exchange import Captured, Said
from gateway.observe import events
from gateway.pipeline.capture import LONGEST, Mode
from gateway.policy.policy import Policy
from gateway.policy.rail import Subject
from gateway.policy.verdict import ALLOW, Action, Edit, Finding, Verdict
from gateway.record import completed

SOFT = policy(
    inward=[bound(Words("in", ("bad",), Action.REDACT))], outward=[bound(Words("out", ("bad",), Action.REDACT))]
)
HARD = policy(inward=[bound(Words("in", ("bad",)))], outward=[bound(Words("out", ("bad",)))])
NOTHING = policy()


async def captured(rules: Policy, mode: Mode, asked: str, *said: str, stream: bool = False) -> Captured | None:
    up = Canned([orjson.dumps(completion("".join(said)))], (JSON,))
    if stream:
        pieces = [delta("", role="assistant"), *(delta(piece) for piece in said), delta(finish="stop")]
        up = Canned(stream_of(*pieces), (SSE,))
    heard = Heard()
    line = pipeline(rules, [up], heard)
    line.capture = mode
    await line.run(call({"model": "m", "stream": stream, "messages": [{"role": "user", "content": asked}]}), heard)
    record = completed(heard.record)
    events.check({"event": "exchange.completed", "ts": "2026-01-02T03:04:05Z", "process": 1, "seq": 1, **record})
    assert ("captured" in record) is (mode != "none")
    return heard.record.captured


def texts(said: Sequence[Said]) -> list[str]:
    return [one.text for one in said]


@pytest.mark.parametrize("stream", [False, True])
async def test_nothing_is_kept_unless_asked_for(stream: bool) -> None:
    assert await captured(SOFT, "none", "a bad word", "a bad answer", stream=stream) is None


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("rules", [SOFT, NOTHING])
async def test_full_keeps_texts_as_they_came(rules: Policy, stream: bool) -> None:
    kept = await captured(rules, "full", "a bad word", "a b", "ad answer", stream=stream)
    assert kept == Captured(
        "full", (Said("user", "content", "a bad word"),), (Said("assistant", "content", "a bad answer"),)
    )


@pytest.mark.parametrize("stream", [False, True])
async def test_redacted_keeps_them_as_they_were_passed_on(stream: bool) -> None:
    kept = await captured(SOFT, "redacted", "a bad word", "a b", "ad answer", stream=stream)
    assert kept is not None
    assert (texts(kept.input), texts(kept.output)) == (["a [gone] word"], ["a [gone] answer"])


@pytest.mark.parametrize("stream", [False, True])
async def test_redacted_keeps_what_nobody_judges(stream: bool) -> None:
    kept = await captured(NOTHING, "redacted", "a bad word", "a bad answer", stream=stream)
    assert kept is not None
    assert (texts(kept.input), texts(kept.output)) == (["a bad word"], ["a bad answer"])


@pytest.mark.parametrize(("mode", "kept"), [("redacted", []), ("full", ["a bad word"])])
async def test_of_a_refused_request_only_full_keeps_the_text(mode: Mode, kept: list[str]) -> None:
    found = await captured(HARD, mode, "a bad word")
    assert found is not None
    assert (texts(found.input), found.output) == (kept, ())


@pytest.mark.parametrize(
    ("mode", "stream", "kept"),
    [
        ("redacted", False, []),
        ("redacted", True, ["good "]),
        ("full", False, ["good bad"]),
        ("full", True, ["good bad"]),
    ],
)
async def test_of_an_answer_cut_off_redacted_keeps_what_left(mode: Mode, stream: bool, kept: list[str]) -> None:
    found = await captured(HARD, mode, "hello", "good ", "bad", stream=stream)
    assert found is not None
    assert texts(found.output) == kept


async def _hide(subject: Subject) -> list[Verdict]:
    """Put a placeholder for every `Ada`."""
    said = []
    for passage in subject.passages:
        at = passage.text.find("Ada")
        new = subject.vault.placeholder("NAME", "Ada") if at >= 0 else ""
        edits = frozenset({Edit(at, at + 3, new)} if at >= 0 else ())
        said.append(Verdict(Action.REDACT, frozenset({Finding("hide", "NAME")}), edits) if edits else ALLOW)
    return said


HIDING = policy(inward=[bound(Doing("hide", _hide))])


@given(st.sampled_from(("Dear <NAME_1>!", "<NAME_1> <NAME_1>", "Ada <NAME_1", "none")), st.data())
def test_values_that_were_given_back_are_not_kept_however_the_answer_came(answer: str, data: Any) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(answer) - 1))))
    pieces = [answer[a:b] for a, b in zip([0, *cuts], [*cuts, len(answer)], strict=True)]
    whole: Captured = run(captured(HIDING, "redacted", "I am Ada", answer))
    streamed: Captured = run(captured(HIDING, "redacted", "I am Ada", *pieces, stream=True))
    assert texts(whole.input) == ["I am <NAME_1>"]
    assert whole == streamed
    assert "Ada" not in texts(whole.output)[0]


@given(st.lists(st.sampled_from(("b", "a", "d", " ", "bad", "good")), min_size=1, max_size=12))
def test_a_stream_is_kept_as_the_same_answer_unstreamed_is(pieces: list[str]) -> None:
    for mode in ("redacted", "full"):
        whole = run(captured(SOFT, mode, "hello", "".join(pieces)))
        assert run(captured(SOFT, mode, "hello", *pieces, stream=True)) == whole


async def test_a_record_stays_a_line_that_can_be_read() -> None:
    kept = await captured(NOTHING, "full", "x" * (LONGEST + 1), "y" * 10)
    assert kept is not None
    assert kept.truncated
    assert [len(text) for text in (*texts(kept.input), *texts(kept.output))] == [LONGEST, 10]
