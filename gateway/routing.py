"""Who answers a model name: routes, their upstreams in order of preference, and when the next one is asked."""

from __future__ import annotations

import difflib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from gateway.config.schema import AnyUpstream, EmbeddedSpec, LiteLLMSpec, OpenAISpec, RouteSpec
from gateway.errors import ModelNotFound, NotSupported, UpstreamError, UpstreamUnavailable
from gateway.upstream import Ask, Reply, Upstream

RETRYABLE = frozenset({408, 429, 500, 502, 503, 504, 529})
"""Statuses after which another upstream may do better. 529 is Anthropic's "overloaded"."""


@dataclass(frozen=True, slots=True)
class Target:
    """An upstream and how it was configured."""

    upstream: Upstream
    spec: AnyUpstream


@dataclass(frozen=True, slots=True)
class Route:
    model: str
    targets: tuple[Target, ...]
    policy: str


class Routes:
    """Every model name clients may ask for."""

    def __init__(self, specs: Sequence[RouteSpec], targets: Mapping[str, Target]) -> None:
        self.table = {
            spec.model: Route(spec.model, tuple(targets[name] for name in spec.upstreams), spec.policy)
            for spec in specs
        }

    def pick(self, model: str) -> Route:
        """The route of `model`. Raises `ModelNotFound`."""
        route = self.table.get(model)
        if route is None:
            near = difflib.get_close_matches(model[:128], self.table, 1)
            hint = f" Did you mean '{near[0]}'?" if near else " GET /v1/models lists them."
            raise ModelNotFound(f"There is no such model here.{hint}", param="model")
        return route


def able(route: Route, endpoint: str) -> tuple[Target, ...]:
    """The targets of `route` that answer `endpoint`. Raises `NotSupported` where none does."""
    found = tuple([target for target in route.targets if _answers(target.spec, endpoint)])
    if not found:
        raise NotSupported(f"No upstream of this model answers /v1{endpoint}.", param="model")
    return found


def _answers(spec: AnyUpstream, endpoint: str) -> bool:
    """A server of OpenAI's API says itself what it lacks."""
    match spec:
        case OpenAISpec():
            return True
        case LiteLLMSpec():
            return endpoint == "/chat/completions"
        case EmbeddedSpec():
            return endpoint != "/embeddings" or spec.pooling is not None


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply, and who gave it."""

    target: Target
    reply: Reply


@asynccontextmanager
async def asked(
    targets: Sequence[Target], ask: Callable[[Target], Ask], tried: list[str]
) -> AsyncGenerator[Answered, None]:
    """The first reply that is worth having, or the last one; only before its first byte is another upstream asked.

    Names of those asked go to `tried`. Raises the last upstream's error where none answered at all.
    """
    failure: UpstreamError = UpstreamUnavailable("No upstream is configured for this model.")
    for place, target in enumerate(targets, 1):
        tried.append(target.upstream.name)
        async with AsyncExitStack() as stack:
            try:
                reply = await stack.enter_async_context(target.upstream.send(ask(target)))
            except UpstreamError as error:
                failure = error
                continue
            if reply.status in RETRYABLE and place < len(targets):
                continue
            yield Answered(target, reply)
            return
    raise failure
