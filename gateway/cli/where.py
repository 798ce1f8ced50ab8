"""`--where "verdict=block, total_ms>500"`: conditions on events, read without evaluating anything."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gateway.config.wording import near
from gateway.observe.events import CATALOGUE

_FORM = re.compile(r"\s*(\w+)\s*(!=|<=|>=|=|<|>|~)\s*(.*?)\s*", re.DOTALL)
_ORDER: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
)
_OF_RAILS = MappingProxyType({"rail": "rail", "rule": "rules"})


class BadCondition(Exception):
    """What was written is no condition, or is on a key that no event has."""


@dataclass(frozen=True, slots=True)
class Condition:
    key: str
    sign: str
    value: str

    def holds(self, event: Mapping[str, Any]) -> bool:
        """Whether `event` has the key and one of its values is as wanted."""
        return any(self._fits(value) for value in _values(event, self.key))

    def _fits(self, value: Any) -> bool:
        if self.sign in _ORDER:
            return isinstance(value, int | float) and _ORDER[self.sign](value, float(self.value))
        if self.sign == "~":
            return self.value in _said(value)
        return (_said(value) == self.value or _equal(value, self.value)) == (self.sign == "=")


def conditions(text: str) -> list[Condition]:
    """Read conditions that are joined by commas, all of which must hold. Raises `BadCondition`."""
    return [_condition(part) for part in text.split(",") if part.strip()]


def all_hold(wanted: Sequence[Condition], event: Mapping[str, Any]) -> bool:
    return all(condition.holds(event) for condition in wanted)


def _condition(text: str) -> Condition:
    if not (found := _FORM.fullmatch(text)):
        raise BadCondition(f"{text.strip()!r} is not like `verdict=block` or `total_ms>500`")
    key, sign, value = found.groups()
    known = {*_OF_RAILS, *(name for event in CATALOGUE.values() for name in event.model_fields)}
    if key not in known:
        raise BadCondition(f"no event has a key {key!r}{near(key, known)}")
    if sign in _ORDER and _number(value) is None:
        raise BadCondition(f"{key} {sign} takes a number, not {value!r}")
    return Condition(key, sign, value)


def _values(event: Mapping[str, Any], key: str) -> Sequence[Any]:
    if key in _OF_RAILS:
        said = [judgement.get(_OF_RAILS[key]) for judgement in event.get("judgements", ())]
        return [word for words in said for word in (words if isinstance(words, list) else [words])]
    value = event.get(key)
    return value if isinstance(value, list) else [value] if key in event else []


def _said(value: Any) -> str:
    return value if isinstance(value, str) else {True: "true", False: "false", None: "null"}.get(value, str(value))


def _equal(value: Any, wanted: str) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == _number(wanted)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
