"""Every kind of upstream and how it is opened: the one place that names them all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from gateway.config.schema import AnyUpstream, EmbeddedSpec, LiteLLMSpec, OpenAISpec
from gateway.upstream import Upstream
from gateway.upstream.direct import Direct
from gateway.upstream.embedded import Embedded
from gateway.upstream.litellm import Caller, LiteLLM
from gateway.upstream.pool import open_pool


@asynccontextmanager
async def open_upstreams(
    specs: Iterable[AnyUpstream], workers: Mapping[str, Caller], embedded: Mapping[str, str]
) -> AsyncIterator[Mapping[str, Upstream]]:
    """Upstreams by name, over one pool of connections.

    `workers` has the client of the `litellm` worker where a spec needs it; `embedded` the base URL at which
    each embedded model answers, by the upstream's name.
    """
    async with open_pool() as pool:

        def opened(spec: AnyUpstream) -> Upstream:
            match spec:
                case OpenAISpec():
                    return Direct(spec, pool)
                case LiteLLMSpec():
                    return LiteLLM(spec, workers["litellm"])
                case EmbeddedSpec():
                    return Embedded(spec, embedded[spec.name], pool)

        yield {spec.name: opened(spec) for spec in specs}
