"""What a policy holds back of a stream, and what it does not look at: for whoever relies on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.config.policy import PiiSpec
from gateway.config.schema import Config
from gateway.policy.entities import ENTITIES
from gateway.policy.policy import Bound, Policy
from gateway.policy.rail import Unit

_CLIENTS = {"input": "what clients send", "output": "what models answer"}


def held(bound: Bound) -> str:
    """The most of a stream that one rail holds back."""
    if not bound.acts:
        return "nothing"
    match bound.rail.unit:
        case Unit.MATCH:
            return f"a possible match{_length(bound)}"
        case Unit.SENTENCE:
            return "a sentence"
        case Unit.ANSWER:
            return "the whole answer"


def worst(policy: Policy) -> str:
    """The most of a stream that any of them holds back, and whose doing that is."""
    acting = [bound for bound in policy.output if bound.acts]
    if not acting:
        return "nothing"
    bound = max(acting, key=_rank)
    return f"{held(bound)} ({bound.rail.name})"


def gaps(policy: Policy) -> Iterator[str]:
    """What it lets pass without a look, or without a consequence."""
    spec = policy.spec
    if spec.mode == "shadow":
        yield "everything: in shadow mode it judges and records, and never acts"
    for stage in ("input", "output"):
        yield from _stage(policy.input if stage == "input" else policy.output, _CLIENTS[stage])
    open_ = [b.rail.name for b in (*policy.input, *policy.output) if b.on_error == "open"]
    if open_:
        yield f"what {_listed(open_)} cannot judge in time (on_error: open)"
    looked = {entity for rail in (*spec.input, *spec.output) if isinstance(rail, PiiSpec) for entity in rail.entities}
    if looked:
        yield f"personal data that is not asked for: {_listed(sorted(set(ENTITIES) - looked))}"
    elif spec.input or spec.output:
        yield "personal data: there is no pii rail"
    yield "what pictures, sound and files show"


def unused(config: Config) -> list[str]:
    """Policies that no route and no key names."""
    used = {route.policy for route in config.gateway.routes} | {key.policy for key in config.gateway.keys}
    return sorted(set(config.policies) - used)


def _rank(bound: Bound) -> tuple[int, int]:
    """A match without an end may take longer than a sentence."""
    match bound.rail.unit:
        case Unit.MATCH:
            longest = _longest(bound)
            return (2, 0) if longest is None else (0, longest)
        case Unit.SENTENCE:
            return 1, 0
        case Unit.ANSWER:
            return 3, 0


def _stage(bounds: Sequence[Bound], what: str) -> Iterator[str]:
    if not bounds:
        yield what
    elif all(bound.flags for bound in bounds):
        yield f"{what} is flagged at most"


def _longest(bound: Bound) -> int | None:
    """Characters of the longest match, as far as the rail knows of one."""
    longest = getattr(bound.rail, "longest", None)
    return longest if isinstance(longest, int) else None


def _length(bound: Bound) -> str:
    longest = _longest(bound)
    return f", {longest:,} characters at most" if longest is not None else ", however long"


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words)
