"""The embedded model answers as an OpenAI server does, and its process is looked after."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.config.schema import EmbeddedSpec, Timeouts
from gateway.errors import UpstreamError, UpstreamUnavailable
from gateway.upstream import Ask, Upstream
from gateway.upstream.embedded import free_port, healthy, running
from gateway.upstream.llama import PREDICT
from gateway.upstream.table import open_upstreams

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]

SPEC = EmbeddedSpec(name="local", kind="embedded", context=1024, timeouts=Timeouts(first_byte_s=120, idle_s=60))
HELLO = [{"role": "user", "content": "Say hello."}]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def model() -> AsyncIterator[Upstream]:
    async with running(SPEC) as url, open_upstreams([SPEC], {}, {"local": url}) as upstreams:
        yield upstreams["local"]


async def asked(model: Upstream, endpoint: str = "/chat/completions", **body: Any) -> tuple[int, bytes]:
    given = {"model": "whatever", "max_tokens": 12, "seed": 7, **body}
    async with model.send(Ask(endpoint, json.dumps(given).encode(), bool(given.get("stream")))) as reply:
        return reply.status, b"".join([part async for part in reply.chunks])


async def chat(model: Upstream, **body: Any) -> dict[str, Any]:
    status, raw = await asked(model, **({"messages": HELLO} | body))
    assert status == 200
    answer: dict[str, Any] = json.loads(raw)
    return answer


async def test_a_chat_is_answered_and_counted(model: Upstream) -> None:
    answer = await chat(model)
    (choice,) = answer["choices"]
    assert choice["message"]["content"].strip()
    assert choice["finish_reason"] in {"stop", "length"}
    assert answer["model"] == "smollm2-135m"  # and not the path of its file
    assert 0 < answer["usage"]["completion_tokens"] <= 12
    assert answer["usage"]["prompt_tokens"] > 5


async def test_a_stream_says_what_a_whole_answer_says(model: Upstream) -> None:
    whole = await chat(model, temperature=0)
    options = {"include_usage": True}
    status, raw = await asked(model, messages=HELLO, temperature=0, stream=True, stream_options=options)
    assert status == 200
    *events, done, rest = raw.decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    text = "".join(c["delta"].get("content") or "" for chunk in chunks for c in chunk["choices"])
    assert text == whole["choices"][0]["message"]["content"]
    assert chunks[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]


async def test_several_choices_are_several_answers(model: Upstream) -> None:
    answer = await chat(model, n=2)
    assert sorted(choice["index"] for choice in answer["choices"]) == [0, 1]


async def test_a_schema_is_kept_to(model: Upstream) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer", "maximum": 9}}, "required": ["age"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    answer = await chat(model, response_format=wanted, max_tokens=64)
    assert set(json.loads(answer["choices"][0]["message"]["content"])) == {"age"}


async def test_an_answer_without_a_limit_ends(model: Upstream) -> None:
    answer = await chat(model, max_tokens=None, ignore_eos=True)
    assert answer["usage"]["completion_tokens"] == PREDICT
    assert answer["choices"][0]["finish_reason"] == "length"


async def test_completions_are_answered_and_embeddings_refused(model: Upstream) -> None:
    status, raw = await asked(model, "/completions", prompt="Once upon a time")
    assert status == 200
    assert json.loads(raw)["choices"][0]["text"]
    assert (await asked(model, "/embeddings", input="hello"))[0] == 501


async def test_more_than_the_context_holds_is_refused(model: Upstream) -> None:
    status, raw = await asked(model, messages=[{"role": "user", "content": "word " * 3000}])
    assert status == 400
    assert b"context" in raw


async def test_leaving_in_the_middle_frees_the_model(model: Upstream) -> None:
    body = json.dumps({"messages": HELLO, "max_tokens": 900, "stream": True, "ignore_eos": True}).encode()
    for _ in range(SPEC.parallel):
        ask = Ask("/chat/completions", body, stream=True)
        async with model.send(ask) as reply, aclosing(reply.chunks):
            assert await anext(reply.chunks)
    async with asyncio.timeout(60):  # 1800 tokens would take as long as that on a busy machine
        await chat(model, max_tokens=1)


# Its process


async def test_a_file_of_another_digest_is_never_loaded() -> None:
    spec = SPEC.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(UpstreamUnavailable, match="status 2"):
        async with running(spec):
            pass


async def test_a_file_that_is_no_model_does_not_start(tmp_path: Path) -> None:
    file = tmp_path / "noise.gguf"
    file.write_bytes(b"not a model" * 100)
    with pytest.raises(UpstreamUnavailable, match="local"):
        async with running(SPEC.model_copy(update={"model": str(file)})):
            pass


async def test_a_model_that_dies_comes_back_where_it_was() -> None:
    port = free_port()
    async with running(SPEC, port) as url, open_upstreams([SPEC], {}, {"local": url}) as upstreams:
        (pid,) = processes(port)
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(60):
            while processes(port) in ([], [pid]) or not await healthy(port):  # noqa: ASYNC110  no event in our process
                await asyncio.sleep(0.1)
        assert await chat(upstreams["local"])
    assert await gone(port)


async def test_a_model_dies_with_whoever_started_it() -> None:
    port = free_port()
    script = (
        "import asyncio\n"
        "from gateway.config.schema import EmbeddedSpec\n"
        "from gateway.upstream.embedded import running\n"
        "async def main():\n"
        f"    async with running(EmbeddedSpec(name='x', kind='embedded', context=256), {port}):\n"
        "        print('up', flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert await parent.stdout.readline() == b"up\n"
    assert processes(port)
    parent.kill()
    await parent.wait()
    assert await gone(port)


async def test_a_model_that_is_away_is_an_error_like_any_upstreams() -> None:
    async with open_upstreams([SPEC], {}, {"local": f"http://127.0.0.1:{free_port()}/v1"}) as upstreams:
        with pytest.raises(UpstreamError, match="local"):
            await chat(upstreams["local"])


def processes(port: int) -> list[int]:
    """The pids of models told to answer at `port`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:  # it went while we looked
                continue
            if b"gateway.upstream.llama" in command and f"--port={port}\0".encode() in command + b"\0":
                found.append(int(entry.name))
    return found


async def gone(port: int) -> bool:
    async with asyncio.timeout(20):
        while processes(port):  # noqa: ASYNC110  as above
            await asyncio.sleep(0.05)
    return True
