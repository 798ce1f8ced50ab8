"""`kind: litellm`, the worker's side: litellm as a client library, one provider model per upstream.

What comes in is an OpenAI chat-completion request, what goes out is a head and the answer. Errors of litellm and of the
libraries beneath it are read here and nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import struct
import sys
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import (
    ConfigError,
    NotSupported,
    Problem,
    TidegateError,
    UpstreamBroken,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)

Json = Any

PARAMETERS = frozenset(
    {
        "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "max_completion_tokens",
        "max_tokens", "messages", "modalities", "n", "parallel_tool_calls", "prediction", "presence_penalty",
        "prompt_cache_key", "reasoning_effort", "response_format", "safety_identifier", "seed", "service_tier", "stop",
        "stream", "stream_options", "temperature", "thinking", "tool_choice", "tools", "top_k", "top_logprobs", "top_p",
        "user", "verbosity", "web_search_options",
    }
)  # fmt: skip
"""What a client may set. By the same door litellm takes its own switches: `api_base`, `fallbacks`, `mock_response`…"""

EMBEDDING = frozenset({"dimensions", "encoding_format", "input", "user"})
"""What a client may set where it asks for vectors."""

UNSENT = frozenset({"model", "metadata", "store"})
"""Said to the gateway or kept by OpenAI alone; they change nothing of an answer."""


def prepare(spec: Json) -> Any:
    """Import litellm with everything off that phones home, logs, retries, follows or downloads.

    Raises ConfigError where a model's provider is none of litellm's.
    """
    os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "MAX_IMAGE_URL_DOWNLOAD_SIZE_MB": "0", "DO_NOT_TRACK": "1"}
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        os.environ.pop(name, None)
        os.environ.pop(name.lower(), None)
    import litellm  # noqa: PLC0415 - an engine's adapter imports lazily

    litellm.suppress_debug_info = True
    litellm.turn_off_message_logging = True
    litellm.drop_params = False
    litellm.num_retries = 0
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # its records can hold prompts
    _ask_once()
    _check_providers(litellm, spec)
    return litellm


def _check_providers(litellm: Any, spec: Json) -> None:
    problems = []
    for name, one in spec["upstreams"].items():
        try:
            litellm.get_llm_provider(model=one["model"])
        except litellm.exceptions.BadRequestError:
            message = f"upstream '{name}': litellm knows no provider for '{one['model']}'; write provider/model"
            problems.append(Problem("upstreams", 1, message))
    if problems:
        raise ConfigError(problems)


def _ask_once() -> None:
    """Neither a second POST over a new connection nor a redirect: both would send prompts and keys again."""
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler  # noqa: PLC0415 - as above

    create = AsyncHTTPHandler.create_client

    def create_client(self: Any, *given: Any, **named: Any) -> Any:
        client = create(self, *given, **named)
        client.follow_redirects = False
        return client

    async def single_connection_post_request(*_: Any, **__: Any) -> Any:
        raise sys.exception() or UpstreamBroken("asked twice")

    AsyncHTTPHandler.create_client = create_client
    AsyncHTTPHandler.single_connection_post_request = single_connection_post_request


@asynccontextmanager
async def open(spec: Json, prepared: Any) -> AsyncIterator[Engine]:  # noqa: A001 - the harness's word
    """Serve the upstreams of `spec` (see `gateway.upstream.litellm.spec`)."""
    import httpx  # noqa: PLC0415 - as above

    async with httpx.AsyncClient(follow_redirects=False, trust_env=False) as session:
        prepared.aclient_session = session  # what providers with OpenAI's SDK are asked over
        yield Engine({name: Provider(prepared, name, **one) for name, one in spec["upstreams"].items()})


@dataclass(frozen=True, slots=True)
class Engine:
    """`send` takes `{"upstream", "body", "key"}`, an OpenAI chat-completion request; `embed` one for embeddings.

    `call` gives a head with the completion as its `body`; `stream` gives a head without, then the completion's chunks.
    Where the provider refuses, the head has its status, a `body` with OpenAI's error object and maybe `retry_after`.
    Raises NotSupported, UpstreamUnreachable, UpstreamTimeout and UpstreamBroken.
    """

    providers: dict[str, Provider]

    async def call(self, method: str, payload: Json) -> Json:
        if method == "embed":
            return await self._embed(payload)
        provider = self._provider(method, payload)
        if unknown := _unknown(payload["body"]):
            return _refused(400, unknown)
        try:
            async with provider.patience():
                answer = await provider.asked(payload["body"], payload.get("key", 0), stream=False)
        except Exception as error:  # noqa: BLE001 - litellm raises whatever its providers' libraries raise
            return told(error, provider)
        return {"status": 200, "body": _plain(answer)}

    async def _embed(self, payload: Json) -> Json:
        provider, body = self.providers[payload["upstream"]], payload["body"]
        if unknown := _unknown(body, EMBEDDING):
            return _refused(400, unknown)
        try:
            async with provider.patience():
                answer = await provider.embedded(body, payload.get("key", 0))
        except Exception as error:  # noqa: BLE001 - as above
            if type(error).__name__ == "LiteLLMUnknownProvider":  # no embeddings of this provider
                return _refused(501, f"The provider behind {provider.name} has no embeddings.")
            return told(error, provider)
        return {"status": 200, "body": _vectors(answer, packed=body.get("encoding_format") == "base64")}

    async def stream(self, method: str, payload: Json) -> AsyncGenerator[Json, None]:
        provider = self._provider(method, payload)
        if unknown := _unknown(payload["body"]):
            yield _refused(400, unknown)
            return
        try:
            async with provider.patience():
                chunks = await provider.asked(payload["body"], payload.get("key", 0), stream=True)
                first = await anext(chunks, None)  # some providers are asked only now
        except Exception as error:  # noqa: BLE001 - as above
            yield told(error, provider)
            return
        yield {"status": 200}
        async for chunk in provider.rest(first, chunks):
            yield chunk

    def _provider(self, method: str, payload: Json) -> Provider:
        if method != "send":
            raise NotSupported(f"litellm: no method {method!r}")
        return self.providers[payload["upstream"]]


@dataclass(frozen=True, slots=True)
class Provider:
    """One upstream: a provider's model, how to reach it and for how long to wait. Its `repr` has no key."""

    litellm: Any = field(repr=False)
    name: str
    model: str
    api_keys: list[str | None] = field(repr=False)
    base_url: str | None
    timeouts: dict[str, float]  # as in `config.schema.Timeouts`

    def patience(self) -> asyncio.Timeout:
        return asyncio.timeout(self.timeouts["first_byte_s"])

    async def asked(self, body: Json, key: int, *, stream: bool) -> Any:
        """With the key of that number."""
        said = {name: value for name, value in body.items() if name not in UNSENT}
        return await self.litellm.acompletion(
            **said | {"stream": stream},
            model=self.model,
            api_key=self.api_keys[key],
            base_url=self.base_url,
            timeout=self.timeouts["total_s"],  # a net beneath our own
            max_retries=0,
            num_retries=0,
            _skip_mcp_handler=True,  # it would call tools on the client's word
        )

    async def embedded(self, body: Json, key: int) -> Any:
        """Vectors as numbers; few providers know another form."""
        said = {name: value for name, value in body.items() if name not in UNSENT | {"encoding_format"}}
        return await self.litellm.aembedding(
            **said,
            model=self.model,
            api_key=self.api_keys[key],
            api_base=self.base_url,
            timeout=self.timeouts["total_s"],
            max_retries=0,
            num_retries=0,
        )

    async def rest(self, chunk: Any, chunks: Any) -> AsyncGenerator[Json, None]:
        """The chunks from the one at hand on. A provider's stream that stops early is broken, whatever litellm says."""
        try:
            while chunk is not None:
                self._check(chunk, chunks)
                yield _plain(chunk)
                async with asyncio.timeout(self.timeouts["idle_s"]):
                    chunk = await anext(chunks, None)
        except TidegateError:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            raise broken(error, self, begun=True) from None
        finally:
            with suppress(Exception):  # the connection is to go; how it takes that does not matter
                await chunks.aclose()

    def _check(self, chunk: Any, chunks: Any) -> None:
        """A provider that fell silent has stopped, litellm says; only its wrapper knows that it did not."""
        finished = any(choice.finish_reason for choice in chunk.choices)
        if finished and not (chunks.received_finish_reason or chunks.intermittent_finish_reason):
            raise UpstreamBroken(f"upstream {self.name}: its answer was cut off")


def _plain(answer: Any) -> Json:
    """A completion or a chunk as OpenAI has it, without the fields that litellm adds."""
    body = answer.model_dump(mode="json", exclude_none=True)
    body.get("usage", {}).pop("cost", None)
    for choice in body["choices"]:
        choice.setdefault("finish_reason", None)
        said = choice.get("message") or choice.get("delta") or {}
        if not any((said.get("provider_specific_fields") or {}).values()):
            said.pop("provider_specific_fields", None)
    if "usage" in body and not any(c.get("message") or c.get("delta") or c["finish_reason"] for c in body["choices"]):
        body["choices"] = []
    return body


def _vectors(answer: Any, *, packed: bool) -> Json:
    """Embeddings as OpenAI has them, `packed` into base64 of little-endian single floats where that was asked for."""
    body = answer.model_dump(mode="json", exclude_none=True)
    counts = body.get("usage", {})
    body["usage"] = {name: counts.get(name, 0) for name in ("prompt_tokens", "total_tokens")}
    if packed:
        for item in body["data"]:
            vector = item["embedding"]
            item["embedding"] = b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    return body


# What goes wrong


def told(error: Exception, provider: Provider) -> Json:
    """The head that tells of a refusal; raises where there was none."""
    import httpx  # noqa: PLC0415 - an engine's adapter imports lazily

    chain = tuple(_chain(error))
    if refusal := next((e for e in chain if isinstance(e, httpx.HTTPStatusError)), None):
        return _answered(refusal.response, provider)
    status = getattr(error, "status_code", 0)
    if any(isinstance(e, httpx.TransportError | TimeoutError | ValueError | TidegateError) for e in chain):
        raise broken(error, provider) from None
    if 400 <= status < 500:
        return _refused(status, _unsendable(error, provider))
    raise broken(error, provider) from None


def broken(error: Exception, provider: Provider, *, begun: bool = False) -> UpstreamError:
    """Our word for what kept an answer from coming or, where it had `begun`, from being whole."""
    import httpx  # noqa: PLC0415 - as above

    where = f"upstream {provider.name}"
    for cause in _chain(error):
        match cause:
            case UpstreamError():
                return cause
            case TimeoutError() | httpx.TimeoutException():
                return UpstreamTimeout(f"{where}: did not answer in time")
            case httpx.TransportError() if not begun:
                return UpstreamUnreachable(f"{where}: {type(cause).__name__}")
    return UpstreamBroken(f"{where}: its answer cannot be read to its end ({type(error).__name__})")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was raised for, from the outside in."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _answered(response: Any, provider: Provider) -> Json:
    status = response.status_code
    if status < 400:
        raise UpstreamBroken(f"upstream {provider.name}: it answered {status}, a redirect, and none is followed")
    head = _refused(status, _said(response, provider) or f"The provider answered {status}.")
    wait = response.headers.get("retry-after", "")
    return head | {"retry_after": wait} if wait else head


def _said(response: Any, provider: Provider) -> str:
    """The provider's own words where they are about the request; elsewhere they may be about our key."""
    words = ""
    if response.status_code in {400, 404, 413, 422}:
        with suppress(Exception):  # an error without readable words is an error all the same
            words = str(response.json()["error"]["message"])
    return "" if any(key and key in words for key in provider.api_keys) else words


def _refused(status: int, message: str) -> Json:
    kind = "rate_limit_error" if status == 429 else "invalid_request_error" if status < 500 else "server_error"
    return {"status": status, "body": {"error": {"message": message, "type": kind, "param": None, "code": None}}}


def _unsendable(error: Exception, provider: Provider) -> str:
    named = getattr(error, "message", "") if type(error).__name__ == "UnsupportedParamsError" else ""
    found = re.search(r"\[('\w+'(?:, '\w+')*)\]", named)
    what = f"parameters {found[1]}" if found else f"this request ({type(error).__name__})"
    return f"The model behind {provider.name} does not take {what}."


def _unknown(body: Json, known: frozenset[str] = PARAMETERS) -> str:
    names = sorted(set(body) - known - UNSENT)
    return f"Unknown parameters: {', '.join(names)[:200]}." if names else ""
