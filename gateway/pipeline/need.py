"""What a key must be allowed for an exchange to begin: its route, and what the exchange may come to."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.errors import ModelNotFound
from gateway.limits import estimate
from gateway.limits.rule import Need, nano
from gateway.pipeline.run import Call, Ledger, Run
from gateway.routing import Route, Target


def permitted(call: Call, route: Route) -> Route:
    """`route`, if the key may ask for it. Raises `ModelNotFound`, as for one that is not there."""
    if route.model and not call.principal.may(route.model):
        raise ModelNotFound("There is no such model for this key. GET /v1/models lists them.", param="model")
    return route


def needed(call: Call, run: Run, targets: Sequence[Target], ledger: Ledger) -> Need:
    """What is reserved: tokens that the request may come to, at the price of whoever is dearest of those it may reach.

    Without targets nothing is used but the request itself.
    """
    account = call.principal.account
    if account is None or not targets:
        return Need()
    usage = estimate.usage(call.raw, run.body, call.codec.endpoint, account.assumed)
    usd = 0.0
    if account.rule.priced:
        usd = max(ledger.quote(run.exchange.model, target, usage) for target in targets)
    return Need(usage.input + usage.output, nano(usd) or 0)
