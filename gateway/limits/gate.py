"""What the pipeline asks: may this exchange begin, and what did it come to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.errors import LimitsUnavailable, QuotaExceeded, RequestsLimited, TidegateError, TokensLimited
from gateway.limits.account import SLOTS
from gateway.limits.rule import NANO, Claim, Denial, Need, Rule, Standing


class Store(Protocol):
    """Where accounts are kept. `reserve` is all or nothing and raises `LimitsUnavailable`; `settle` never waits."""

    async def reserve(self, claim: Claim) -> tuple[Standing, Denial | None]: ...
    def settle(self, claim: Claim, spent: Need) -> None: ...


@dataclass(frozen=True, slots=True)
class Account:
    """A key's rule, and what an answer is taken to have where a request does not say."""

    name: str
    rule: Rule
    assumed: int


@dataclass(slots=True)
class Lease:
    """What is reserved for one exchange, until it is settled, once."""

    store: Store
    claim: Claim
    standing: Standing | None = None  # None where nobody could be asked, and that is no reason to refuse
    denial: Denial | None = None
    settled: bool = False

    def enforce(self) -> None:
        """Raise why the exchange may not begin, if so."""
        if self.denial:
            raise _error(self.denial, self.claim.rule, self.claim.need)

    def settle(self, tokens: int, usd: float) -> None:
        """What the exchange came to, however it ended."""
        if not self.settled:
            self.settled = True
            self.store.settle(self.claim, Need(tokens, round(usd * NANO)))

    def headers(self) -> dict[str, str]:
        """OpenAI's, for what is limited by the minute."""
        if (standing := self.standing) is None:
            return {}
        rule, headers = self.claim.rule, {}
        if rule.requests is not None:
            headers["x-ratelimit-limit-requests"] = str(rule.requests)
            headers["x-ratelimit-remaining-requests"] = str(standing.requests)
            headers["x-ratelimit-reset-requests"] = span(standing.requests_reset)
        if rule.tokens is not None:
            headers["x-ratelimit-limit-tokens"] = str(rule.tokens)
            headers["x-ratelimit-remaining-tokens"] = str(standing.tokens)
            headers["x-ratelimit-reset-tokens"] = span(standing.tokens_reset)
        return headers


@dataclass(frozen=True, slots=True)
class Gate:
    """Where every exchange passes whose key is limited in anything."""

    store: Store
    on_store_error: Literal["closed", "open"] = "closed"

    async def admit(self, account: Account, ident: str, need: Need) -> Lease:
        """Reserve; `Lease.enforce` tells whether that was granted. Raises `LimitsUnavailable`, if that closes it."""
        lease = Lease(self.store, Claim(account.name, ident, account.rule, need))
        try:
            lease.standing, lease.denial = await self.store.reserve(lease.claim)
        except LimitsUnavailable:
            if self.on_store_error == "closed":
                raise
            lease.settled = True
        if lease.denial:
            lease.settled = True
        return lease


def span(seconds: float) -> str:
    """As OpenAI writes it, in whole seconds rounded up: `0s`, `45s`, `1m1s`."""
    return _SPANS[min(max(0, -int(-seconds // 1)), SLOTS)]


_SPANS = tuple(f"{n // 60}m{n % 60}s" if n >= 60 else f"{n}s" for n in range(SLOTS + 1))


def _error(denial: Denial, rule: Rule, need: Need) -> TidegateError:
    match denial.reason:
        case "month":
            said = "This key has spent what it may in a month"
            return QuotaExceeded(f"{said}, or the request may cost more than what is left.")
        case "day":
            said = "This key has spent what it may in a day (UTC)"
            return QuotaExceeded(f"{said}, or the request may cost more than what is left.", retry_after=denial.wait)
        case "tokens" if denial.wait is None:
            return TokensLimited(
                f"The request may come to {need.tokens} tokens, and this key has {rule.tokens} a minute;"
                " ask for fewer with max_tokens."
            )
        case "tokens":
            return TokensLimited(
                f"This key has {rule.tokens} tokens a minute, and the request may come to {need.tokens}.",
                retry_after=denial.wait,
            )
        case "requests":
            return RequestsLimited(f"This key may make {rule.requests} requests a minute.", retry_after=denial.wait)
        case "parallel":
            return RequestsLimited(
                f"This key may have {rule.parallel} requests under way at once.", retry_after=denial.wait
            )
