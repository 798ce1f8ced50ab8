"""The webhook rail's settings, and the contract it publishes: the page says what the rail keeps to."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it has no stubs of its own
import pytest
from pydantic import ValidationError
from support.deciding import SECRET, Canned, judged, rail
from support.judging import asked, at_once

from gateway.config.load import load
from gateway.config.policy import WebhookSpec
from gateway.errors import ConfigError
from gateway.policy.rail import Unit
from gateway.policy.rails import contract
from gateway.policy.verdict import applied

PAGE = Path(__file__).parents[2] / "docs" / "webhook.md"


# Configuring it…


@pytest.mark.parametrize(
    "said",
    [
        {"url": "http://user:password@host/"},
        {"url": "http:///path"},
        {"url": "http://höst/"},
        {"url": "http://host/#part"},
        {"secret": "too short"},
        {"secret": "whsec_!"},
        {"secret": "whsec_" + base64.b64encode(b"short").decode()},
    ],
)
def test_what_cannot_be_used_is_refused_and_no_secret_told(said: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        rail(None, **said)
    assert "password" not in str(caught.value)
    assert said.get("secret", "-") not in str(caught.value)


@pytest.mark.parametrize("said", [{"url": "ftp://host"}, {"action": "redact"}, {"unit": "match"}])
def test_what_there_is_not_is_refused(said: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        rail(None, **said)


def test_how_much_it_sees_is_the_policys() -> None:
    assert (rail(None).unit, rail(None, unit="answer").unit) == (Unit.SENTENCE, Unit.ANSWER)


POLICY = """\
name: default
input:
  - pattern: {deny: ['a${NOT_A_VARIABLE}b']}
  - webhook: {url: "http://127.0.0.1:9/", secret: "${HOOK_SECRET}"}
  - kind: webhook
    url: "http://127.0.0.1:9/"
    secret: "${HOOK_SECRET}"
"""
GATEWAY = """\
upstreams: [{name: up, kind: openai, base_url: "http://127.0.0.1:9/v1"}]
routes: [{model: m, upstreams: [up]}]
"""


def test_a_secret_comes_from_the_environment_and_nothing_else_of_a_policy_does(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "default.yaml").write_text(POLICY)
    (tmp_path / "config" / "gateway.yaml").write_text(GATEWAY)
    config = load(tmp_path / "config" / "gateway.yaml", {"HOOK_SECRET": SECRET, "NOT_A_VARIABLE": "x"})
    pattern, *hooks = config.policies["default"].input
    assert "${NOT_A_VARIABLE}" in pattern.model_dump_json()
    for hook in hooks:
        assert isinstance(hook, WebhookSpec)
        assert hook.secret is not None
        assert hook.secret.get_secret_value() == SECRET
    assert SECRET not in repr(config)
    with pytest.raises(ConfigError, match=r"default\.yaml:4: input\[1\]\.webhook\.secret: environment variable"):
        load(tmp_path / "config" / "gateway.yaml", {})


# The published contract…


def test_the_page_publishes_the_schemas_that_are_kept_to() -> None:
    blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)]
    assert contract.REQUEST in blocks
    assert contract.ANSWER in blocks


def test_the_examples_on_the_page_keep_to_the_schemas() -> None:
    blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)]
    questions = [block for block in blocks if "passages" in block]
    answers = [block for block in blocks if "verdicts" in block]
    assert questions
    assert answers
    for schema, examples in ((contract.REQUEST, questions), (contract.ANSWER, answers)):
        for example in examples:
            jsonschema.Draft202012Validator(schema).validate(example)
    texts = tuple(passage["text"] for passage in questions[0]["passages"])
    said = judged(*answers[0]["verdicts"], texts=texts)
    assert applied(texts[0], said[0].edits) == "My card is [CARD], thank you."


def test_the_service_on_the_page_runs_and_checks_what_is_signed(tmp_path: Path) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    there: dict[str, Any] = {"__name__": "service"}
    exec(compile(source, "service", "exec"), there)
    service = Canned([{"verdicts": [{"action": "allow"}]}])
    one = rail(service, secret=SECRET)
    at_once(one, asked("My card is 4111 1111 1111 1111."))
    body, headers = service.asked[0]
    assert there["signed"](SECRET.encode(), headers, body)
    assert not there["signed"](b"another secret of length", headers, body)
    assert not there["signed"](SECRET.encode(), headers, body + b" ")
    assert not there["signed"](SECRET.encode(), {**headers, "webhook-timestamp": "1"}, body)
    jsonschema.Draft202012Validator(contract.ANSWER).validate(there["decided"](json.loads(body)))
