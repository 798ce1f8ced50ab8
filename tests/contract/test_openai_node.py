"""The official Node client against a running gateway; `tests/node/client.mjs` has the cases."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.speaking import ARGUMENTS, CUT, FORBIDDEN, SAYS, words
from support.stage import Stage

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("contract")]

Found = dict[str, Any]


@pytest.fixture(scope="module")
def found(stage: Stage, node_modules: Path) -> Found:
    """What every case came to."""
    environ = {**os.environ, "BASE_URL": stage.base_url, "FORBIDDEN": FORBIDDEN, "CUT": CUT}
    command = ["node", "client.mjs"]
    done = subprocess.run(command, cwd=node_modules, env=environ, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    cases: Found = orjson.loads(done.stdout)
    return cases


def test_answers_and_streams_say_the_same(found: Found) -> None:
    assert found["whole"] == SAYS
    assert found["streamed"] == [SAYS]


def test_usage_ends_a_stream_that_asked_for_it(found: Found) -> None:
    assert found["usage"] == 9


def test_every_choice_arrives(found: Found) -> None:
    assert found["choices"] == [SAYS, SAYS]


def test_a_tool_call_is_put_together_from_a_stream(found: Found) -> None:
    assert found["tool"] == {"finish_reason": "tool_calls", "arguments": ARGUMENTS}


def test_a_response_format_is_kept(found: Found) -> None:
    assert found["format"] == {"city": "Paris", "degrees": 21}


def test_log_probabilities_arrive(found: Found) -> None:
    assert found["logprobs"] == words(SAYS)


def test_models_are_listed(found: Found) -> None:
    assert {"scripted", "busy", "plain", "embedded"} == set(found["models"])


@pytest.mark.parametrize(
    ("case", "kind", "status", "code"),
    [
        ("refused", "BadRequestError", 400, "content_filter"),
        ("missing", "NotFoundError", 404, "model_not_found"),
        ("busy", "RateLimitError", 429, "rate_limit_exceeded"),
    ],
)
def test_errors_are_the_clients_own(found: Found, case: str, kind: str, status: int, code: str) -> None:
    assert found[case] == {"kind": kind, "status": status, "code": code}


def test_a_stream_is_cut_before_what_is_forbidden(found: Found) -> None:
    assert found["cut"]["code"] == "content_filter"
    assert found["cut"]["said"].rstrip() == CUT.rstrip()


def test_a_text_goes_on_streamed_or_not(found: Found) -> None:
    assert found["continued"] == [SAYS, SAYS]


def test_texts_become_vectors(found: Found) -> None:
    assert found["embedded_texts"] == [[4.0, 0.5, -0.25]] * 2


def test_texts_are_judged_by_the_operators_rails(found: Found) -> None:
    assert found["moderated"] == [{"flagged": True, "categories": {"word": True, "secrets": False}}]


def test_after_leaving_a_stream_the_next_answer_comes(found: Found) -> None:
    assert found["left"] == "stop"


def test_the_embedded_model_answers_and_streams_the_same(found: Found) -> None:
    whole, streamed = found["embedded"]
    assert whole
    assert streamed == whole
