"""A JSON object read field by field, for wires that are translated: what nobody asked for is refused, for it would be
neither judged nor forwarded. Null stands for absent, as it does in every SDK.
"""

from __future__ import annotations

from typing import Any

from gateway.errors import NotSupported, RequestError, Unprocessable
from gateway.wire.body import name_of

_LONGEST_NAME = 64  # characters of a field's name that a message repeats: it is the client's text


class Fields:
    """The object `value` at `at` in the body. Each field is taken once; `close` when all that are known are.

    Raises `RequestError` (400) for a wrong type, `NotSupported` (501) for what the chat API cannot say and
    `Unprocessable` (422) for what nobody knows; `param` names the field. `wrong` and `cannot` make the error only.
    """

    __slots__ = ("_left", "at")

    def __init__(self, value: Any, at: str = "") -> None:
        if not isinstance(value, dict):
            raise RequestError(f"'{at}' must be an object, not {name_of(value)}.", param=at)
        self.at = at
        self._left: dict[str, Any] = dict(value)

    def name(self, key: str) -> str:
        """The field's name in full: `messages[0].content`."""
        return f"{self.at}.{key}" if self.at else key

    def take(self, key: str) -> Any:
        return self._left.pop(key, None)

    def peek(self, key: str) -> Any:
        return self._left.get(key)

    def text(self, key: str) -> str | None:
        value = self.take(key)
        if value is not None and not isinstance(value, str):
            raise self.wrong(key, f"a string, not {name_of(value)}")
        return value

    def model(self) -> str:
        """The name of a model, which every request states."""
        name = self.need("model", self.text("model"))
        if not name:
            raise RequestError("'model' is empty; name one of GET /v1/models.", param="model")
        return str(name)

    def texts(self, key: str) -> list[str] | None:
        value = self.array(key)
        if value is not None and not all(isinstance(item, str) for item in value):
            raise self.wrong(key, "an array of strings")
        return value

    def array(self, key: str) -> list[Any] | None:
        value = self.take(key)
        if value is not None and not isinstance(value, list):
            raise self.wrong(key, f"an array, not {name_of(value)}")
        return value

    def table(self, key: str) -> dict[str, Any] | None:
        """An object whose inside is the client's own: a JSON schema, a tool's arguments."""
        value = self.take(key)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(key, f"an object, not {name_of(value)}")
        return value

    def inner(self, key: str) -> Fields | None:
        """An object that is read field by field in turn."""
        value = self.take(key)
        return None if value is None else Fields(value, self.name(key))

    def number(self, key: str) -> float | None:
        value = self.take(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise self.wrong(key, f"a number, not {name_of(value)}")
        return value

    def count(self, key: str) -> int | None:
        value = self.take(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise self.wrong(key, "a whole number")
        return value

    def switch(self, key: str) -> bool | None:
        value = self.take(key)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(key, f"true or false, not {name_of(value)}")
        return value

    def need(self, key: str, value: Any) -> Any:
        """`value`, which was taken from `key` and has to be there."""
        if value is None:
            raise RequestError(f"'{self.name(key)}' is missing.", param=self.name(key))
        return value

    def only(self, key: str, *allowed: Any, why: str = "") -> Any:
        """A field that says nothing but what holds anyway: absent, or one of `allowed`."""
        value = self.take(key)
        if value is not None and value not in allowed:
            raise self.cannot(key, why)
        return value

    def drop(self, *keys: str) -> None:
        """Fields that change neither what the model is told nor what it answers."""
        for key in keys:
            self.take(key)

    def wrong(self, key: str, want: str) -> RequestError:
        return RequestError(f"'{self.name(key)}' must be {want}.", param=self.name(key))

    def cannot(self, key: str, why: str = "") -> NotSupported:
        """What the chat API cannot say."""
        said = why or "it cannot be translated to the chat API that models are asked through"
        return NotSupported(f"'{self.name(key)}' is not supported here: {said}.", param=self.name(key))

    def close(self) -> None:
        """Refuse what is left."""
        for key in self._left:
            name = self.name(key[:_LONGEST_NAME])
            raise Unprocessable(f"'{name}' is not known here and would be lost; leave it out.", param=name)


def texts(body: dict[str, Any], key: str) -> list[str]:
    """The texts of a field that is one or an array of them. Tokens are refused: they cannot be judged."""
    value = body.get(key)
    if isinstance(value, str):
        return [value]
    if value is None or value == []:
        raise RequestError(f"'{key}' is missing or empty; send a string or an array of strings.", param=key)
    if not isinstance(value, list):
        raise RequestError(f"'{key}' must be a string or an array of strings.", param=key)
    for at, item in enumerate(value):
        if isinstance(item, int | list):
            said = "tokens cannot be judged; send the text itself"
            raise Unprocessable(f"'{key}[{at}]' must be a string: {said}.", param=f"{key}[{at}]")
        if not isinstance(item, str):
            said = name_of(item)
            raise RequestError(f"'{key}[{at}]' must be a string, not {said}.", param=f"{key}[{at}]")
    return value
