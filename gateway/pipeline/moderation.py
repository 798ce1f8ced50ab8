"""`/v1/moderations`: what the rails of an operator's policy say of texts. No model is asked and nothing is acted on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from gateway.errors import ModelNotFound, PolicyUnavailable
from gateway.pipeline.run import Principal, Run
from gateway.policy.policy import Bench, Bound, Policy
from gateway.policy.rail import Subject
from gateway.policy.verdict import Verdict
from gateway.routing import Route, Routes
from gateway.wire import moderations

DEFAULT = "default"
THEIRS = ("omni-moderation", "text-moderation")
"""How OpenAI's own models are called, which its clients name by default."""


def chosen(body: dict[str, Any], principal: Principal, routes: Routes, policies: Mapping[str, Policy]) -> Route:
    """Who judges: the key's policy; else that of the route that `model` names; else, without one, the `default`.

    Raises `ModelNotFound`.
    """
    model = body.get("model") or ""
    if model and not model.startswith(THEIRS):
        route = routes.pick(model)
        return Route(route.model, (), principal.policy or route.policy)
    name = principal.policy or DEFAULT
    if name not in policies:
        raise ModelNotFound("Name one of GET /v1/models: the policy of its route judges.", param="model")
    return Route("", (), name)


async def opinions(run: Run, subject: Subject) -> list[list[Verdict]]:
    """What each input rail says of each text, all of them heard out.

    Raises `PolicyUnavailable` where one that fails closed could not judge.
    """
    bounds = run.policy.input
    said = await asyncio.gather(*(_opinion(run, bound, subject) for bound in bounds))
    failed = [b for b, verdicts in zip(bounds, said, strict=True) if b.on_error == "closed" and _faulty(verdicts)]
    for bound in failed:
        run.docket.line("input", bound.rail.name, enforced=True).enforced = True  # it decides what is answered
    if failed:
        raise PolicyUnavailable("A content policy could not judge the texts. Try again.", retry_after=1)
    return said


async def _opinion(run: Run, bound: Bound, subject: Subject) -> list[Verdict]:
    return await Bench((replace(bound, enforced=False),), "input", run.docket, run.tally.clock).judged(subject)


def _faulty(verdicts: Sequence[Verdict]) -> bool:
    return any(finding.fault for verdict in verdicts for finding in verdict.findings)


def answer(run: Run, said: Sequence[Sequence[Verdict]], texts: int) -> bytes:
    """The answer to a request of so many `texts`."""
    names = [bound.rail.name for bound in run.policy.input]
    fired = [
        {name for name, verdicts in zip(names, said, strict=True) if _found(verdicts[place])} for place in range(texts)
    ]
    ident = run.exchange.id.replace("req_", "modr-", 1)
    return orjson.dumps(moderations.answer(run.body, ident, names, fired))


def _found(verdict: Verdict) -> bool:
    return any(not finding.fault for finding in verdict.findings)
