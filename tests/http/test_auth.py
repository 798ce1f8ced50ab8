"""Who asks: keys are known by their digest alone, and every odd header is refused."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.schema import Key, Limits
from gateway.errors import Unauthenticated
from gateway.http.auth import Headers, Keyring
from gateway.limits.rule import Rule
from gateway.pipeline.run import Principal

KEYS = [Key(name=name, sha256=sha256(name.encode()).hexdigest(), policy=f"{name}-policy") for name in ("one", "two")]


def principal(headers: Headers, keys: Sequence[Key]) -> Principal:
    return Keyring(keys).principal(headers)


def asked(*values: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"x"), *((b"authorization", value) for value in values)]


@pytest.mark.parametrize("value", [b"Bearer two", b"bearer two", b"BEARER  two ", b"Bearer two\t"])
def test_a_known_key_names_its_principal(value: bytes) -> None:
    assert principal(asked(value), KEYS) == Principal("two", "two-policy")


@pytest.mark.parametrize(
    "values",
    [
        (),
        (b"",),
        (b"Bearer",),
        (b"Bearer ",),
        (b"two",),
        (b"Basic two",),
        (b"Bearer three",),
        (b"Bearer TWO",),
        (b"Bearer two two",),
        (b"Bearer\ttwo",),
        (b"Bearer \x00two",),
        (b"Bearer tw\xff",),
        (b"Bearer " + b"x" * 8192,),
        (b"Bearer ' OR 1=1 --",),
        (b"Bearer " + sha256(b"two").hexdigest().encode(),),
        (b"Bearer two", b"Bearer two"),
        (b"Bearer two", b"Bearer one"),
        (b"Bearer two", b""),
    ],
)
def test_anything_else_is_refused_and_not_repeated(values: tuple[bytes, ...]) -> None:
    with pytest.raises(Unauthenticated) as refused:
        principal(asked(*values), KEYS)
    assert (refused.value.status, refused.value.code) == (401, "invalid_api_key")
    assert "two" not in refused.value.message


@given(st.binary(max_size=40))
def test_no_other_bytes_are_a_key(value: bytes) -> None:
    if value.strip() not in {b"one", b"two"}:
        with pytest.raises(Unauthenticated):
            principal(asked(b"Bearer " + value), KEYS)


def test_without_keys_everybody_is_welcome() -> None:
    for values in ((), (b"Bearer x",), (b"Bearer x", b"Bearer y")):
        assert principal(asked(*values), []) == Principal("", None)


def test_a_key_is_compared_in_constant_time_found_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[str, str]] = []

    def compare(a: str, b: str) -> bool:
        compared.append((a, b))
        return a == b

    ring = Keyring(KEYS)
    monkeypatch.setattr("hmac.compare_digest", compare)
    ring.principal(asked(b"Bearer one"))
    with pytest.raises(Unauthenticated):
        ring.principal(asked(b"Bearer none"))
    assert compared == [(KEYS[0].sha256, sha256(b"one").hexdigest()), ("", sha256(b"none").hexdigest())]


def test_keys_are_found_by_something_that_no_other_process_can_compute() -> None:
    one, other = Keyring(KEYS), Keyring(KEYS)
    assert not one._found.keys() & other._found.keys()
    assert not {key.sha256.encode() for key in KEYS} & one._found.keys()


def test_a_key_brings_its_routes_and_its_limits() -> None:
    digest = sha256(b"x").hexdigest()
    free = Key(name="free", sha256=digest)
    bound = Key(name="bound", sha256=digest, routes=("a",), limits=Limits(requests_per_minute=5, usd_per_day=0.5))
    assert principal(asked(b"Bearer x"), [free]).account is None
    found = principal(asked(b"Bearer x"), [bound])
    assert found.account is not None
    assert found.account.rule == Rule(requests=5, day=500_000_000)
    assert [found.may(route) for route in ("a", "b")] == [True, False]
