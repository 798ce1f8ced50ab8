"""The upstreams that only the demo has: one that plays fixed answers, and one that notes what a real model is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

ANSWERS = {
    "turns": "We are open from nine to five. On Sundays we are closed. I know because {word} says so. Keep it.",
    "grounded": "The lighthouse was built in 1871 and is 32 metres tall.",
    "ungrounded": "Its keeper, Captain Horatio Blunt, won three Olympic medals and owned a chocolate factory in Peru.",
}
"""What the scripted models say, by model name. `{word}` is what the shipped policy forbids."""

PAUSE_S = 0.01
"""Between two pieces of a scripted stream: about as fast as a fast model."""


@dataclass(slots=True)
class Upstream:
    """One ASGI app with both: `/scripted/v1/…` plays `ANSWERS`, `/noted/v1/…` passes on to `model` and notes it."""

    model: str  # base URL of a real model
    forbidden: str
    noted: list[dict[str, Any]] = field(default_factory=list)
    delivered: int = 0  # pieces of the last scripted stream that were taken

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/scripted/v1/chat/completions", self._scripted, methods=["POST"]),
                Route("/noted/v1/chat/completions", self._noted, methods=["POST"]),
            ]
        )

    async def _noted(self, request: Request) -> Response:
        raw = await request.body()
        self.noted.append(orjson.loads(raw))
        async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
            headers = {"content-type": "application/json"}
            reply = await client.post(f"{self.model}/chat/completions", content=raw, headers=headers)
        return Response(reply.content, reply.status_code, media_type="application/json")

    async def _scripted(self, request: Request) -> Response:
        body = orjson.loads(await request.body())
        text = ANSWERS[body["model"]].format(word=self.forbidden)
        if body.get("stream"):
            return StreamingResponse(self._stream(body["model"], text), media_type="text/event-stream")
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 60, "completion_tokens": len(text) // 4, "total_tokens": 60 + len(text) // 4}
        answer = {"id": "chatcmpl-demo", "object": "chat.completion", "created": 0, "model": body["model"]}
        return Response(orjson.dumps({**answer, "choices": [choice], "usage": usage}), media_type="application/json")

    async def _stream(self, model: str, text: str) -> AsyncIterator[bytes]:
        head = {"id": "chatcmpl-demo", "object": "chat.completion.chunk", "created": 0, "model": model}
        self.delivered = 0
        for at in range(0, len(text), 4):
            choice = {"index": 0, "delta": {"content": text[at : at + 4]}, "finish_reason": None}
            yield b"data: " + orjson.dumps({**head, "choices": [choice]}) + b"\n\n"
            self.delivered += 1
            await asyncio.sleep(PAUSE_S)
        last = {"index": 0, "delta": {}, "finish_reason": "stop"}
        yield b"data: " + orjson.dumps({**head, "choices": [last]}) + b"\n\ndata: [DONE]\n\n"
