"""A decision service that answers as it is told, and webhook rails that ask it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from support.judging import asked, at_once

from gateway.config.policy import WebhookSpec
from gateway.policy.rail import Poster, Tools
from gateway.policy.rails import webhook
from gateway.policy.rails.webhook import WebhookRail
from gateway.policy.verdict import Verdict

SECRET = "a secret of some length"
PATIENT_S = 30.0


def rail(poster: Poster | None, url: str = "http://127.0.0.1/judge", **said: Any) -> WebhookRail:
    spec = WebhookSpec.model_validate({"kind": "webhook", "url": url, **said})
    return webhook.build(spec, Tools({}, PATIENT_S, policy="support", poster=poster))


@dataclass(slots=True)
class Canned:
    """A service that answers with what it was given; an error is raised. `asked` is what it saw."""

    answers: list[Any]
    asked: list[tuple[bytes, Mapping[str, str]]] = field(default_factory=list)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, deadline_s: float) -> tuple[int, bytes]:
        self.asked.append((body, headers))
        said = self.answers.pop(0)
        if isinstance(said, Exception):
            raise said
        return 200, said if isinstance(said, bytes) else json.dumps(said).encode()


def judged(*verdicts: Any, texts: tuple[str, ...] = ("Hello, Ann.",), **said: Any) -> list[Verdict]:
    return at_once(rail(Canned([{"verdicts": verdicts}]), **said), *map(asked, texts))
