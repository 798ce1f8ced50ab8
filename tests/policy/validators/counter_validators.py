"""Validators as an operator might write them, and as nobody should."""

from __future__ import annotations

import os
import re
from typing import Any

from guardrails.validator_base import FailResult, PassResult, Validator, register_validator


@register_validator(name="desk/no_refunds", data_type="string")
class NoRefunds(Validator):  # type: ignore[misc] # the library is untyped
    def __init__(self, word: str = "refund", on_fail: str | None = None) -> None:
        super().__init__(on_fail=on_fail, word=word)
        self._word = word

    def _validate(self, value: Any, metadata: dict[str, Any]) -> Any:
        if self._word not in value:
            return PassResult()
        return FailResult(error_message="", fix_value=value.replace(self._word, "voucher"))


@register_validator(name="desk/bad_fix", data_type="string")
class BadFix(Validator):  # type: ignore[misc] # the library is untyped
    """Its fix is one that it would itself refuse."""

    def _validate(self, value: Any, metadata: dict[str, Any]) -> Any:
        return FailResult(error_message="no", fix_value=value + "!") if "bad" in value else PassResult()


@register_validator(name="desk/broken", data_type="string")
class Broken(Validator):  # type: ignore[misc] # the library is untyped
    def _validate(self, value: Any, metadata: dict[str, Any]) -> Any:
        if "raise" in value:
            raise RuntimeError(f"could not judge {value}")
        if "backtrack" in value:
            re.match(r"^(a+)+$", "a" * 60 + "!")
        if "die" in value:
            os._exit(9)
        return PassResult()


@register_validator(name="desk/always_broken", data_type="string")
class AlwaysBroken(Validator):  # type: ignore[misc] # the library is untyped
    def _validate(self, value: Any, metadata: dict[str, Any]) -> Any:
        raise RuntimeError("no model")
