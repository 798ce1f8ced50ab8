"""Log-probabilities of an answer's tokens, as chat answers and as `/v1/completions` tell them: numbers, no text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TOP = 20  # the most alternatives that OpenAI's API gives

Token = tuple[float, ...]
"""The chosen token's log-probability, then those of the most probable tokens at its place, itself among them."""


def tokens(body: dict[str, Any]) -> list[Token]:
    """Those of the first choice, in an answer or in a chunk of one. What is no log-probability is left out."""
    choices = body.get("choices")
    for choice in choices if type(choices) is list else ():
        if type(choice) is dict and choice.get("index", 0) == 0 and type(told := choice.get("logprobs")) is dict:
            return list(_of_chat(told["content"]) if type(told.get("content")) is list else _of_text(told))
    return []


def _of_chat(content: list[Any]) -> Iterator[Token]:
    for one in content:
        if type(one) is dict and _is(one.get("logprob")):
            top = one.get("top_logprobs")
            found = (
                [t["logprob"] for t in top if type(t) is dict and _is(t.get("logprob"))] if type(top) is list else []
            )
            yield (float(one["logprob"]), *map(float, found[:TOP]))


def _of_text(told: dict[str, Any]) -> Iterator[Token]:
    chosen, tops = told.get("token_logprobs"), told.get("top_logprobs")
    for place, value in enumerate(chosen if type(chosen) is list else ()):
        if _is(value):
            top = tops[place] if type(tops) is list and place < len(tops) else None
            found = [v for v in top.values() if _is(v)] if type(top) is dict else []
            yield (float(value), *map(float, found[:TOP]))


def _is(value: Any) -> bool:
    """Whether it is a log-probability: a number, not above 0 but for rounding, and no NaN."""
    return type(value) in {int, float} and value <= 0.01
