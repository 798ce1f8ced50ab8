"""A client's connection: uvicorn's, with what it lacks.

- It is timed by the guard's one clock instead of a timer for each answer, also before its first request is whole.
- A request beyond what is let in is refused here, before anybody works on it.
- When its process goes, it still answers what is on the way, and says `connection: close`. Stock uvicorn 0.54 closes at
  once, and throws away a request that the kernel has taken already.
"""

from __future__ import annotations

import secrets
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from gateway.errors import Overloaded, RequestError, RequestTimeout, TidegateError
from gateway.front.framing import Framed
from gateway.front.guard import Guard, Phase
from gateway.wire import envelope, messages

RETRY_S = 1.0
COMPLETIONS = "/v1/"  # what may be shed; who asks how we are is always told
MESSAGES = b"/v1/messages"


class Connection(Framed):
    """One connection of a client, the `number`-th; `ticks` counts the guard's looks that found it as it was before."""

    def __init__(self, guard: Guard, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._guard = guard
        self._shed: RequestResponseCycle | None = None  # a request that nobody works on
        self._state: tuple[Phase, object] = ("head", None)
        self.number, self.ticks = next(guard.numbers), 0

    # The guard's side

    def look(self) -> Phase:
        """What is going on; `ticks` begins anew with whatever is new."""
        phase = self._phase()
        if phase != self._state[0] or self.scope is not self._state[1]:
            self._state, self.ticks = (phase, self.scope), 0
        return phase

    def _phase(self) -> Phase:
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            if self.flow.write_paused:
                return "stalled"
            return "body" if cycle.more_body else "answer"
        return "head" if cycle is None or cycle.scope is not self.scope else "rest"

    def expire(self, phase: Phase) -> None:
        """Close, and say why where somebody may listen."""
        if phase == "stalled":
            self.transport.abort()
        elif phase == "body" or (phase == "head" and self.scope is not None):
            self.declined(RequestTimeout("The request did not arrive in time."))
        else:
            self.transport.close()

    # uvicorn's side

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._guard.met(self.connections)  # type: ignore[arg-type]  # all are ours: uvicorn knows no other protocol here

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self._guard.leaving:
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if len(self.tasks) < self._guard.allowed or not cycle.scope["path"].startswith(COMPLETIONS):
            super()._start_asgi_task(cycle, app)
            return
        self._guard.shed += 1
        self._shed = cycle
        if cycle.waiting_for_100_continue:  # its body will not come before we speak
            cycle.keep_alive = cycle.more_body = False
        if not cycle.more_body:
            self._turn_away(cycle)

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        if self._shed is self.cycle:
            self.cycle.body.clear()
            self.flow.resume_reading()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self._shed is not None and self._shed is self.cycle:
            self._turn_away(self._shed)

    def _turn_away(self, cycle: RequestResponseCycle) -> None:
        self._shed = None
        cycle.response_started = cycle.response_complete = True
        if not self.transport.is_closing():
            fault = Overloaded("The gateway has all the requests it can take. Try again.", retry_after=RETRY_S)
            self._tell(fault, close=not cycle.keep_alive)
        self.on_response_complete()

    def declined(self, fault: RequestError) -> None:
        """Answer `fault` in place of the app, where nothing of an answer was sent, and close."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True  # what the app says is said too late
            cycle.message_event.set()
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self._tell(fault, close=True)
        self.transport.close()

    def _tell(self, fault: TidegateError, *, close: bool) -> None:
        ident = f"req_{secrets.token_hex(16)}"
        anthropic = (self.url or b"").startswith(MESSAGES)
        content = messages.envelope(fault, ident) if anthropic else envelope.body(fault)
        headers = {
            "content-type": "application/json",
            "content-length": str(len(content)),
            **envelope.headers(fault),
            "x-request-id": ident,
            "x-tidegate-verdict": "allow",
            "x-tidegate-overhead-ms": "0.00",
            **({"connection": "close"} if close else {}),
        }
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        self.transport.write(b"".join((STATUS_LINE[fault.status], lines.encode(), b"\r\n", content)))
        if close:
            self.transport.close()

    def on_response_complete(self) -> None:
        """As uvicorn's, without a timer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def shutdown(self) -> None:
        """The process goes: an answer that has not begun says so, everything else has `LINGER_S` to be asked again."""
        if self.cycle is not None and not self.cycle.response_complete and not self.cycle.response_started:
            self.cycle.keep_alive = False
