"""A line for people: all that matters of an exchange, and nothing that could steer a terminal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.exchanges import finished

from gateway.cli.line import HEADER, line
from gateway.record import completed

STAMP: dict[str, Any] = {"ts": "2026-01-02T03:04:05.678901Z", "process": 1, "seq": 1}
EVENT: dict[str, Any] = {"event": "exchange.completed", **STAMP, **completed(finished())}


def said(**changed: Any) -> str:
    return line({**EVENT, **changed}).plain


def test_an_exchange_is_one_line_with_what_matters() -> None:
    words = said().split()
    assert words[0].endswith(":05.678")
    assert words[1:] == [
        *("redact", "m", "→", "up", "200", "~", "100/101", "$0.0201", "1000", "ms", "2500", "ms"),
        *("secrets:api_keys", "redact,", "topics:", "timeout"),
    ]


def test_columns_stand_below_their_titles() -> None:
    text = said(stream=False)
    assert text.index("redact") == HEADER.index("verdict")
    assert text.index("m → up") == HEADER.index("route → upstream")
    assert text.index("100/101") + len("100/101") == HEADER.index("tokens in/out") + len("tokens in/out")
    assert text.index("2500 ms") + len("2500 ms") == HEADER.index("total") + len("total")
    assert text.index("secrets:") == HEADER.index("who")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"outcome": "failed", "error": "upstream_timeout", "judgements": []}, "upstream_timeout"),
        ({"outcome": "cancelled", "judgements": []}, "client left"),
        ({"total_ms": None}, "–"),
        ({"total_ms": 12_345.0}, "12.3 s"),
        ({"cost_usd": 0.0}, "–"),
        ({"cost_usd": 0.000123}, "$0.000123"),
        ({"estimated_tokens": True}, "~100/101"),
        ({"upstream": ""}, "m → –"),
        ({"route": "", "model": "asked-for"}, "asked-for → up"),
        ({"ts": "never"}, "????????????"),
    ],
)
def test_what_an_exchange_lacked_or_ended_with_is_shown(changed: dict[str, Any], words: str) -> None:
    assert words in said(**changed)


def test_a_rail_that_only_watched_says_so() -> None:
    judgement = {**EVENT["judgements"][0], "enforced": False}
    assert "secrets:api_keys redact (shadow)" in said(judgements=[judgement])


def test_scores_and_other_events_have_lines_too() -> None:
    scored = {
        "event": "score.recorded",
        **STAMP,
        "id": "x",
        "route": "m",
        "upstream": "up",
        "scores": {"relevance": 0.5},
    }
    assert "m → up" in line(scored).plain
    assert "relevance 0.50" in line(scored).plain
    assert "worker.restarted worker=nemo reason=killed" in line(
        {"event": "worker.restarted", **STAMP, "worker": "nemo", "reason": "killed"}
    ).plain  # fmt: skip


@given(st.text(st.characters(codec=None)), st.sampled_from(["route", "upstream", "error", "ts", "event", "verdict"]))
def test_no_text_from_outside_steers_the_terminal(text: str, key: str) -> None:
    assert line({**EVENT, "outcome": "failed", key: text}).plain.isprintable()
