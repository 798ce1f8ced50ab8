"""An upstream as a route has it."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.config.schema import AnyUpstream, EmbeddedSpec, LiteLLMSpec, OpenAISpec
from gateway.routing.standing import Standing
from gateway.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Target:
    """An upstream and how it was configured. `spec.model` is the name that this route has it asked for, if any."""

    upstream: Upstream
    spec: AnyUpstream

    def answers(self, endpoint: str) -> bool:
        """A server of OpenAI's API says itself what it lacks."""
        match self.spec:
            case OpenAISpec():
                return True
            case LiteLLMSpec():
                return endpoint in {"/chat/completions", "/embeddings"}
            case EmbeddedSpec():
                return endpoint != "/embeddings" or self.spec.pooling is not None


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A target among others: how it stands, and its weight."""

    target: Target
    standing: Standing
    weight: float = 1.0
