"""Exchanges as training examples, in the formats that trainers read. What cannot be told faithfully is left out.

openai, trl-sft   {"messages": […]}                                     the answer is good, or the corrected one
trl-dpo           {"prompt": […], "chosen": […], "rejected": […]}       corrected before given; good before bad
openai-dpo        {"input": {"messages", "tools", "parallel_tool_calls"}, "preferred_output", "non_preferred_output"}
kto               {"prompt": […], "completion": […], "label": true}     one for each answer that was judged
sharegpt          {"conversations": [{"from": "human", "value": …}]}
inspect           {"id", "input": […], "target", "metadata"}            for inspect_ai's json_dataset
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import orjson

from gateway.data.row import Feedback, Row

Format = Literal["openai", "trl-sft", "trl-dpo", "kto", "openai-dpo", "sharegpt", "inspect"]
FORMATS: tuple[Format, ...] = get_args(Format)

Message = dict[str, str]
Label = Literal["corrected", "good", "bad", "unjudged"]

_ROLES: Mapping[str, str] = {"developer": "system"}
_PLAIN = frozenset({"system", "user", "assistant"})
_SPEAKERS: Mapping[str, str] = {"system": "system", "user": "human", "assistant": "gpt"}


@dataclass(frozen=True, slots=True)
class Turn:
    """A conversation up to an answer, and what the answer was worth. `better` is the corrected one, or nothing."""

    id: str
    at: float
    prompt: tuple[Message, ...]
    answer: str
    better: str
    label: Label
    route: str
    topic: str
    reasons: tuple[str, ...]

    @property
    def best(self) -> str:
        return self.better or self.answer

    @property
    def opening(self) -> str:
        """What the conversation began with: turns of one conversation have it in common."""
        asked = [m["content"] for m in self.prompt if m["role"] == "user"]
        return asked[0] if asked else self.prompt[0]["content"]


@dataclass(frozen=True, slots=True)
class Example:
    """A line of a data set. `text` tells whether it is like another, `opening` which conversation it belongs to."""

    id: str
    at: float
    text: str
    opening: str
    value: Mapping[str, Any]
    label: str
    route: str
    topic: str
    reasons: tuple[str, ...]

    @property
    def line(self) -> bytes:
        return orjson.dumps(self.value)


@dataclass(slots=True)
class Left:
    """What was left out, by why."""

    why: Counter[str] = field(default_factory=Counter)


def turns(rows: Iterable[tuple[Row, Sequence[Feedback]]], left: Left) -> list[Turn]:
    """What can be told as a plain conversation with one answer.

    What was said of an answer holds for the same answer to the same question that nobody spoke of.
    """
    found = list(_told(rows, left))
    judged = {_same(turn): turn for turn in found if turn.label != "unjudged"}
    return [_settled(turn, judged.get(_same(turn))) for turn in found]


def _same(turn: Turn) -> bytes:
    return orjson.dumps([turn.prompt, turn.answer])


def _settled(turn: Turn, judged: Turn | None) -> Turn:
    if turn.label != "unjudged" or judged is None:
        return turn
    return replace(turn, label=judged.label, better=judged.better)


def _told(rows: Iterable[tuple[Row, Sequence[Feedback]]], left: Left) -> Iterator[Turn]:
    for row, said in rows:
        found = _turn(row, said)
        if isinstance(found, str):
            left.why[found] += 1
        else:
            yield found


def _turn(row: Row, said: Sequence[Feedback]) -> Turn | str:
    texts = row.texts
    sayings = [s for s in texts.get("input", ()) if s["channel"] != "field"]
    answers = [s for s in texts.get("output", ()) if s.get("choice", 0) == 0 and s["channel"] != "reasoning"]
    prompt = tuple(_joined(sayings))
    better = next((one.correction for one in reversed(said) if one.correction), "")
    if problem := _unfit(row, prompt, {s["channel"] for s in [*sayings, *answers]}):
        return problem
    if not answers and not better:
        return "no answer"
    answer = "".join(s["text"] for s in answers)
    label = _label(row, said, better)
    reasons = tuple(sorted(row.reasons))
    return Turn(row.id, row.at, prompt, answer, better, label, row.route, row.topic, reasons)


def _unfit(row: Row, prompt: Sequence[Message], channels: set[str]) -> str:
    """Why an exchange is no plain conversation; nothing where it is one."""
    if row.texts.get("truncated"):
        return "truncated"
    if row.record.get("endpoint") in {"/embeddings", "/moderations", "/score"}:
        return "not a conversation"
    if channels - {"content"} or any(message["role"] not in _PLAIN for message in prompt):
        return "tools, documents or refusals"
    return "" if prompt and prompt[-1]["role"] == "user" else "no question"


def _label(row: Row, said: Sequence[Feedback], better: str) -> Label:
    """What people said; a rail that did not allow an exchange speaks against its answer."""
    heard = [one.good for one in said if one.good is not None]
    if better:
        return "corrected"
    if False in heard:
        return "bad"
    if row.record.get("verdict", "allow") in {"block", "redact"} or row.record.get("outcome") != "completed":
        return "bad"
    return "good" if heard else "unjudged"


def _joined(said: Iterable[Mapping[str, str]]) -> Iterator[Message]:
    """Messages; parts of one, and several in a row of one role, become one, as chat templates want it."""
    last: Message | None = None
    for one in said:
        role = _ROLES.get(one["role"], one["role"])
        if last and last["role"] == role:
            last["content"] += f"\n{one['text']}"
        else:
            if last:
                yield last
            last = {"role": role, "content": one["text"]}
    if last:
        yield last


# Formats…


def examples(found: Sequence[Turn], form: Format, left: Left, *, unjudged: bool = False) -> list[Example]:
    """`found` in one format. Answers that nobody judged count as good where `unjudged` says so."""
    good: set[Label] = {"good", "corrected", *(("unjudged",) if unjudged else ())}
    match form:
        case "trl-dpo" | "openai-dpo":
            return [_example(turn, _pair(form, turn, *pair), pair[0]) for turn, pair in _pairs(found, left)]
        case "kto":
            return [one for turn in found for one in _judged(turn, good, left)]
        case _:
            left.why["not judged good"] += sum(turn.label not in good for turn in found)
            return [_example(t, _SHAPES[form](t), t.best) for t in found if t.label in good]


def _example(turn: Turn, value: Mapping[str, Any], said: str, label: str = "") -> Example:
    text = "\n".join([*(m["content"] for m in turn.prompt), said])
    return Example(
        turn.id, turn.at, text, turn.opening, value, label or turn.label, turn.route, turn.topic, turn.reasons
    )


def _assistant(text: str) -> list[Message]:
    return [{"role": "assistant", "content": text}]


def _messages(turn: Turn) -> dict[str, Any]:
    return {"messages": [*turn.prompt, *_assistant(turn.best)]}


def _sharegpt(turn: Turn) -> dict[str, Any]:
    said = [*turn.prompt, *_assistant(turn.best)]
    return {"conversations": [{"from": _SPEAKERS[m["role"]], "value": m["content"]} for m in said]}


def _inspect(turn: Turn) -> dict[str, Any]:
    told = {"route": turn.route, "topic": turn.topic, "reasons": list(turn.reasons), "label": turn.label}
    return {"id": turn.id, "input": list(turn.prompt), "target": turn.best, "metadata": told}


_SHAPES: Mapping[str, Callable[[Turn], dict[str, Any]]] = {
    "openai": _messages,
    "trl-sft": _messages,
    "sharegpt": _sharegpt,
    "inspect": _inspect,
}


def _pairs(found: Sequence[Turn], left: Left) -> Iterator[tuple[Turn, tuple[str, str]]]:
    """Each turn with a better answer and a worse one: its own correction, or what others got to the same question."""
    good: dict[bytes, Turn] = {}
    for turn in found:
        if turn.label == "good":
            good.setdefault(orjson.dumps(turn.prompt), turn)
    for turn in found:
        other = good.get(orjson.dumps(turn.prompt))
        if turn.better and turn.answer and turn.better != turn.answer:
            yield turn, (turn.better, turn.answer)
        elif turn.label == "bad" and turn.answer and other and other.answer != turn.answer:
            yield turn, (other.answer, turn.answer)
        else:
            left.why["no pair"] += 1


def _pair(form: Format, turn: Turn, chosen: str, rejected: str) -> dict[str, Any]:
    prompt = list(turn.prompt)
    if form == "trl-dpo":
        return {"prompt": prompt, "chosen": _assistant(chosen), "rejected": _assistant(rejected)}
    asked = {"messages": prompt, "tools": [], "parallel_tool_calls": True}
    return {"input": asked, "preferred_output": _assistant(chosen), "non_preferred_output": _assistant(rejected)}


def _judged(turn: Turn, good: set[Label], left: Left) -> Iterator[Example]:
    """The answer with what it was worth; a correction is a good answer beside it."""
    if turn.label == "unjudged" and turn.label not in good:
        left.why["not judged"] += 1
        return
    said = [(turn.better, True)] if turn.better else []
    said += [(turn.answer, turn.label in good and not turn.better)] if turn.answer else []
    for text, worth in said:
        value = {"prompt": list(turn.prompt), "completion": _assistant(text), "label": worth}
        yield _example(turn, value, text, "good" if worth else "bad")
