"""Who asks. Keys are data: only their SHA-256 is kept, and it is compared in constant time."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from hashlib import blake2b, sha256

from gateway.config.schema import Key
from gateway.errors import Unauthenticated
from gateway.limits.gate import Account
from gateway.limits.rule import Rule
from gateway.pipeline.run import Principal

Headers = Sequence[tuple[bytes, bytes]]

OPEN = Principal()


class Keyring:
    """The keys of one configuration.

    A digest is looked up by a hash of it that only this process can compute, so that the time a miss takes tells
    nothing of the digests there are; the one that is found is compared in constant time.
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        self._secret = secrets.token_bytes(32)
        self._found = {self._place(key.sha256): (key.sha256, _principal(key)) for key in keys}

    def principal(self, headers: Headers) -> Principal:
        """The principal whose key the request carries; without configured keys everybody is welcome.

        Raises `Unauthenticated`.
        """
        if not self._found:
            return OPEN
        digest = sha256(_token(headers)).hexdigest()
        known, principal = self._found.get(self._place(digest), ("", OPEN))
        if not hmac.compare_digest(known, digest):
            raise Unauthenticated("The API key is not known here; send 'Authorization: Bearer <key>'.")
        return principal

    def _place(self, digest: str) -> bytes:
        return blake2b(digest.encode(), key=self._secret, digest_size=16).digest()


def _principal(key: Key) -> Principal:
    rule = Rule.of(key.limits)
    account = Account(key.name, rule, key.limits.assumed_output_tokens) if rule.limits else None
    return Principal(key.name, key.policy, None if key.routes is None else frozenset(key.routes), account)


def _token(headers: Headers) -> bytes:
    """The bearer token (RFC 6750, 2.1), or what Anthropic's clients send. Two are one too many: which would count?"""
    values = [value for name, value in headers if name == b"authorization"]
    own = [value for name, value in headers if name == b"x-api-key"]
    if len(own) == 1 and own[0].strip() and not values:
        return own[0].strip()
    if len(values) != 1:
        raise Unauthenticated("Send one 'Authorization: Bearer <key>' header.")
    scheme, _, token = values[0].partition(b" ")
    if scheme.lower() != b"bearer" or not token.strip():
        raise Unauthenticated("Send 'Authorization: Bearer <key>'.")
    return token.strip()
