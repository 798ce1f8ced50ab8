"""Vectors of a provider's, asked for through litellm in its worker."""

from __future__ import annotations

import base64
import json
import shutil
import struct
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr
from support import answers
from support.scripted import Server, scripted
from support.workers import started

from gateway.config.schema import LiteLLMSpec
from gateway.upstream import Ask
from gateway.upstream.litellm import LiteLLM, spec
from gateway.worker.client import Client
from gateway.worker.supervisor import Host

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]

Sea = tuple[Client, Server, dict[str, LiteLLMSpec]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sea() -> AsyncIterator[Sea]:
    folder = Path(tempfile.mkdtemp(prefix="tl"))
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(scripted(answers.echo))
        specs = {
            name: LiteLLMSpec(
                name=name, kind="litellm", model=said, api_key=SecretStr("sk-secret"), base_url=model.base_url
            )
            for name, said in (("gpt", "openai/text-embedding-3-small"), ("claude", "anthropic/claude-sonnet-4-5"))
        }
        host = Host("litellm", "gateway.upstream.engine", spec(specs.values()), folder / "l.sock")
        worker = await stack.enter_async_context(started(host))
        yield worker.client, model, specs
    shutil.rmtree(folder)


async def asked(sea: Sea, name: str, **more: Any) -> tuple[int, Any]:
    client, model, specs = sea
    model.seen.clear()
    body = json.dumps({"model": "any", "input": ["hi", "there"], **more}).encode()
    async with LiteLLM(specs[name], client).send(Ask("/embeddings", body, stream=False)) as reply:
        return reply.status, json.loads(b"".join([part async for part in reply.chunks]))


async def test_texts_become_vectors_as_openai_has_them(sea: Sea) -> None:
    status, body = await asked(sea, "gpt", dimensions=2, user="u")
    assert (status, body["object"]) == (200, "list")
    assert [(one["object"], one["index"], one["embedding"]) for one in body["data"]] == [
        ("embedding", 0, [2.0, 1.0]),
        ("embedding", 1, [5.0, 1.0]),
    ]
    assert body["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
    (seen,) = sea[1].seen
    assert seen.target == "/v1/embeddings"
    asked_for = seen.json()
    assert (asked_for["input"], asked_for["dimensions"], asked_for["user"]) == (["hi", "there"], 2, "u")


async def test_they_are_packed_where_the_client_wants_it(sea: Sea) -> None:
    _, body = await asked(sea, "gpt", encoding_format="base64")
    packed = [base64.b64decode(one["embedding"]) for one in body["data"]]
    assert [struct.unpack("<2f", one) for one in packed] == [(2.0, 1.0), (5.0, 1.0)]


async def test_litellms_switches_are_not_the_clients(sea: Sea) -> None:
    status, body = await asked(sea, "gpt", api_base="http://127.0.0.1:9", mock_response="x")
    assert (status, sea[1].seen) == (400, [])
    assert body["error"]["message"] == "Unknown parameters: api_base, mock_response."


async def test_a_provider_without_embeddings_says_so(sea: Sea) -> None:
    status, body = await asked(sea, "claude")
    assert (status, sea[1].seen) == (501, [])
    assert "claude" in body["error"]["message"]
