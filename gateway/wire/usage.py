"""Token counts as providers state them, read with distrust: upstreams send strings, floats and negatives too."""

from __future__ import annotations

from typing import Any, NamedTuple


class Counts(NamedTuple):
    """Tokens of one exchange. `input` includes `cached`, `output` includes `reasoning`, as OpenAI counts."""

    input: int
    cached: int
    output: int
    reasoning: int


def counts(usage: Any) -> Counts | None:
    """What an OpenAI-shaped `usage` object says, or None where it says nothing that can be believed."""
    if not isinstance(usage, dict):
        return None
    given = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if given == (None, None):
        return None
    return Counts(
        given[0] or 0,
        _detail(usage, "prompt_tokens_details", "cached_tokens"),
        given[1] or 0,
        _detail(usage, "completion_tokens_details", "reasoning_tokens"),
    )


def _detail(usage: dict[str, Any], group: str, key: str) -> int:
    details = usage.get(group)
    return (_count(details.get(key)) or 0) if isinstance(details, dict) else 0


def _count(value: Any) -> int | None:
    """A token count: a whole number from 0 to a billion. Anything else is not one."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= 1_000_000_000 else None
