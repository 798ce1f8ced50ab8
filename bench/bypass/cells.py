"""Sixty cells of the matrix in `tests/matrix`, by class: what a gateway's own filter should hold wherever it stands."""

from __future__ import annotations

from matrix.cell import Cell, parsed

_ASKED = "in.chat.whole.{role}.{place}.{disguise}.{turn}.whole.middle.block"
_SAID = "out.chat.{mode}.none.{place}.{disguise}.{choice}.{split}.middle.block"


def _asked(place: str = "string", role: str = "user", disguise: str = "none", turn: str = "only") -> Cell:
    return parsed(_ASKED.format(role=role, place=place, disguise=disguise, turn=turn))


def _said(
    place: str = "content", mode: str = "stream", disguise: str = "none", choice: str = "0", split: str = "half"
) -> Cell:
    return parsed(_SAID.format(mode=mode, place=place, disguise=disguise, choice=choice, split=split))


def _whole(place: str) -> Cell:
    return _said(place, "whole", split="whole")


CLASSES: dict[str, list[Cell]] = {
    "roles and turns": [
        *(_asked(role=role) for role in ("system", "developer", "user", "assistant", "tool")),
        *(_asked(turn=turn) for turn in ("first", "middle")),
    ],
    "parts of a message": [
        *map(_asked, ("part", "second-part", "part-extra-key", "image-url", "file-data")),
        _asked("refusal-part", "assistant"),
    ],
    "tools in requests": [
        _asked("arguments", "assistant"),
        _asked("tool-result", "tool"),
        *(_asked(p, "none") for p in ("tool-description", "schema-description", "schema-enum", "schema-name")),
    ],
    "other fields": [
        *map(_asked, ("name", "unknown-field")),
        *(_asked(place, "none") for place in ("metadata", "stop", "prediction", "user", "unknown-top")),
    ],
    "disguised requests": [
        _asked(disguise=d)
        for d in ("zero-width", "soft-hyphen", "fullwidth", "cyrillic", "base64", "percent", "tags", "html-decimal")
    ],
    "text of an answer": [_whole("content"), *(_said(split=split) for split in ("whole", "half", "chars", "segments"))],
    "reasoning and refusals": [
        *(_whole(p) for p in ("reasoning-content", "refusal")),
        *(_said(p) for p in ("reasoning-content", "refusal")),
    ],
    "tool calls of an answer": [
        *(_whole(p) for p in ("arguments", "function-call")),
        *(_said(p) for p in ("arguments", "function-call")),
        _said("arguments", split="chars"),
    ],
    "other choices": [_said(choice=choice) for choice in ("1", "3", "interleaved")],
    "other texts of an answer": [
        *(_whole(p) for p in ("annotation", "logprobs", "transcript")),
        *(_said(p, split="whole") for p in ("logprobs", "error")),
    ],
    "disguised answers": [_said(disguise=d, split="half") for d in ("zero-width", "fullwidth", "base64", "tags")],
}
