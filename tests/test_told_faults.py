"""A fault of ours is a 500 for the client, a record, and for the operator a line that says where, without any text."""

from __future__ import annotations

import io
import logging
from dataclasses import replace

from support.answers import completion
from support.paths import JSON, Canned, Heard, call, pipeline
from support.rails import policy

from gateway.observe.stderr import quiet
from gateway.wire.codec import CHAT
from gateway.wire.passage import Passage


async def test_a_fault_of_ours_is_told_with_its_place() -> None:
    def fail(_: object) -> list[Passage]:
        raise RuntimeError("my secret text")

    told, root = io.StringIO(), logging.getLogger()
    before, level = root.handlers[:], root.level
    quiet(told)
    try:
        heard = Heard()
        line = pipeline(policy(), [Canned([str(completion("x")).encode()], (JSON,))], heard)
        body = {"model": "m", "messages": [{"role": "user", "content": "my secret text"}]}
        await line.run(call(body, replace(CHAT, prompts=fail)), heard)
    finally:
        root.handlers[:], root.level = before, level
    assert heard.status == 500
    assert heard.record.error == "RuntimeError"
    said = told.getvalue()
    assert said.startswith("ERROR tidegate: an exchange failed (RuntimeError at ")
    assert "pipeline/__init__.py" in said
    assert "secret" not in said
