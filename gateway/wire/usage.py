"""Token counts as providers state them, read with distrust: upstreams send strings, floats and negatives too."""

from __future__ import annotations

from typing import Any, NamedTuple

_LONGEST = 16  # letters of a service tier's name
_PLAIN = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})  # what has no classes within


class Counts(NamedTuple):
    """Tokens of one exchange.

    As OpenAI counts: `input` includes `cached`, what was `written` into a cache and `audio_input`; `output` includes
    `reasoning` and `audio_output`. `tier` is the service tier that answered.
    """

    input: int
    cached: int
    output: int
    reasoning: int
    written: int = 0
    written_hour: int = 0
    audio_input: int = 0
    audio_output: int = 0
    tier: str = ""


def counts(usage: Any, tier: Any = "") -> Counts | None:
    """What an OpenAI-shaped `usage` object says, or None where it says nothing that can be believed."""
    if not isinstance(usage, dict):
        return None
    given = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if given == (None, None):
        return None
    output, reasoning = _reasoned(usage, given[0] or 0, given[1] or 0)
    if not tier and usage.keys() <= _PLAIN:
        return Counts(given[0] or 0, 0, output, reasoning)
    hour = _hour(usage)
    return Counts(
        input=given[0] or 0,
        cached=_read(usage),
        output=output,
        reasoning=reasoning,
        written=max(0, _written(usage) - hour),
        written_hour=hour,
        audio_input=_detail(usage, "prompt_tokens_details", "audio_tokens"),
        audio_output=_detail(usage, "completion_tokens_details", "audio_tokens"),
        tier=tier if isinstance(tier, str) and tier.isalpha() and len(tier) <= _LONGEST else "",
    )


def _reasoned(usage: dict[str, Any], prompt: int, completion: int) -> tuple[int, int]:
    """Output and the reasoning in it. xAI and Gemini leave reasoning out of `completion_tokens`; the total has it."""
    reasoning = _detail(usage, "completion_tokens_details", "reasoning_tokens")
    beyond = (_count(usage.get("total_tokens")) or 0) - prompt - completion
    if beyond > 0 and reasoning in {0, beyond}:
        return completion + beyond, beyond
    return completion, reasoning


def _read(usage: dict[str, Any]) -> int:
    """Read from a cache: as OpenAI says it, or DeepSeek, Anthropic, Moonshot."""
    beside = ("prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens")
    said = _detail(usage, "prompt_tokens_details", "cached_tokens")
    return said or next(filter(None, (_count(usage.get(name)) for name in beside)), 0)


def _written(usage: dict[str, Any]) -> int:
    said = _detail(usage, "prompt_tokens_details", "cache_write_tokens")
    said = said or _detail(usage, "prompt_tokens_details", "cache_creation_tokens")
    return said or _count(usage.get("cache_creation_input_tokens")) or 0


def _hour(usage: dict[str, Any]) -> int:
    """Written to be kept for an hour: Anthropic's `cache_creation`, which litellm moves into the details."""
    details = usage.get("prompt_tokens_details")
    for within in (usage, details if isinstance(details, dict) else {}):
        for key in ("cache_creation", "cache_creation_token_details"):
            if found := _detail(within, key, "ephemeral_1h_input_tokens"):
                return found
    return 0


def _detail(usage: dict[str, Any], group: str, key: str) -> int:
    details = usage.get(group)
    return (_count(details.get(key)) or 0) if isinstance(details, dict) else 0


def _count(value: Any) -> int | None:
    """A token count: a whole number from 0 to a billion. Anything else is not one."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= 1_000_000_000 else None
