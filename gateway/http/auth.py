"""Who asks. Keys are data: only their SHA-256 is kept, and it is compared in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256

from gateway.config.schema import Key
from gateway.errors import Unauthenticated
from gateway.pipeline.run import Principal

Headers = Sequence[tuple[bytes, bytes]]


def principal(headers: Headers, keys: Sequence[Key]) -> Principal:
    """The principal whose key the request carries; without configured keys everybody is welcome.

    Every key is compared, so that the time taken does not tell which one was near. Raises `Unauthenticated`.
    """
    if not keys:
        return Principal()
    digest = sha256(_token(headers)).hexdigest()
    found = [key for key in keys if hmac.compare_digest(key.sha256, digest)]
    if not found:
        raise Unauthenticated("The API key is not known here; send 'Authorization: Bearer <key>'.")
    return Principal(found[0].name, found[0].policy)


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
