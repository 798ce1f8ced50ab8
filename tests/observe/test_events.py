"""The catalogue: every event has a schema, and the page that describes them is the one it makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its stubs are a package of their own
import pytest
from pydantic import ValidationError
from support.exchanges import finished

from gateway.observe import events
from gateway.observe.reference import reference
from gateway.record import completed

STAMP: dict[str, Any] = {"ts": "2026-01-02T03:04:05.000006Z", "process": 1, "seq": 1}
PAGE = Path(__file__).parents[2] / "docs" / "events.md"


@pytest.mark.parametrize("name", events.CATALOGUE)
def test_every_event_has_a_valid_schema_that_knows_its_name(name: str) -> None:
    schema = events.schema(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["event"]["const"] == name
    assert schema["additionalProperties"] is False


def test_a_canonical_line_satisfies_its_schema() -> None:
    line = {"event": "exchange.completed", **STAMP, **completed(finished())}
    jsonschema.validate(line, events.schema("exchange.completed"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**line, "prompt": "text"}, events.schema("exchange.completed"))


def test_a_name_that_is_not_in_the_catalogue_is_refused() -> None:
    with pytest.raises(KeyError, match=r"exchange\.begun"):
        events.check({"event": "exchange.begun", **STAMP})


@pytest.mark.parametrize("change", [{"status": "200"}, {"verdict": "deny"}, {"text": "hello"}, {"seq": 0}])
def test_fields_that_are_not_as_described_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        events.check({"event": "exchange.completed", **STAMP, **completed(finished()), **change})


def test_the_page_about_events_is_current() -> None:
    assert PAGE.read_text() == reference(), "run: python -m gateway.observe.reference > docs/events.md"
