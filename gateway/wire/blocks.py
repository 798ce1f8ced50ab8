"""What a model says, as blocks that follow one another: chat deltas in, blocks opened, grown and closed out.

The chat API streams several texts at once and never says that one is over; Anthropic's and OpenAI's newer wires know
one open block at a time. A block closes when another one follows and it cannot grow any more; what comes early waits.
Rules: blocks come out in the order they were begun; every piece of a block comes out once and in order, but for what
follows a call's whole arguments; whatever way one answer is cut the same blocks come of it, unless a text stops and
goes on after another kind has begun: then it goes on in a block of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.wire import body as json_body

Kind = Literal["reasoning", "text", "refusal", "call"]


@dataclass(slots=True, eq=False)
class Block:
    """One text of the answer. `id` and `name` are a tool call's."""

    kind: Kind
    index: int
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    sent: int = 0  # pieces that came out
    last: bool = False  # whether the answer ends with it

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True)
class Opened:
    block: Block


@dataclass(frozen=True, slots=True)
class Grown:
    block: Block
    piece: str


@dataclass(frozen=True, slots=True)
class Closed:
    block: Block


Step = Opened | Grown | Closed


@dataclass(slots=True)
class Blocks:
    """Feed the deltas of one choice as they come, `finish` when no more do."""

    all: list[Block] = field(default_factory=list)
    calls: dict[int, Block] = field(default_factory=dict)  # by the index the upstream gives them
    head: int = 0  # the block that comes out now
    opened: bool = False

    def feed(self, delta: dict[str, Any]) -> list[Step]:
        """What `delta`, a streamed one or an answer's whole message, brings."""
        steps: list[Step] = []
        for key in ("reasoning_content", "content", "refusal"):
            if text := _said(delta, key):
                self._told(_KINDS[key], text, steps)
        calls = delta.get("tool_calls")
        for position, call in enumerate(calls if isinstance(calls, list) else ()):
            if isinstance(call, dict):
                self._called(call, position, steps)
        return steps

    def finish(self) -> list[Step]:
        """What was waiting. The last block is the one that the answer's end may have cut."""
        if self.all:
            self.all[-1].last = True
        steps: list[Step] = []
        while self.head < len(self.all):
            self._out(steps)
            self._close(steps)
        return steps

    def cut(self) -> list[Step]:
        """The end of an answer that is taken back: what is open closes, what was waiting never comes."""
        steps: list[Step] = []
        if self.opened:
            self.all[self.head].last = True
            self._close(steps)
        del self.all[self.head :]
        return steps

    def _told(self, kind: Kind, text: str, steps: list[Step]) -> None:
        if not self.all or self.all[-1].kind != kind:
            self._begin(Block(kind, len(self.all)), steps)
        self._grow(self.all[-1], text, steps)

    def _called(self, call: dict[str, Any], position: int, steps: list[Step]) -> None:
        index = call.get("index")
        block = self._call(index if type(index) is int else position, _text(call.get("id")), steps)
        function = call.get("function")
        if isinstance(function, dict):
            block.name = block.name or _text(function.get("name"))
            self._grow(block, _text(function.get("arguments")), steps)

    def _call(self, index: int, ident: str, steps: list[Step]) -> Block:
        """The call with that index. A new id under an old index is a new call: some servers number none of theirs."""
        block = self.calls.get(index)
        if block is None or (ident and block.id not in {"", ident}):
            block = self.calls[index] = Block("call", len(self.all))
            self._begin(block, steps)
        block.id = block.id or ident
        return block

    def _begin(self, block: Block, steps: list[Step]) -> None:
        self.all.append(block)
        while self.head < len(self.all) - 1 and _over(self.all[self.head]):
            self._out(steps)
            self._close(steps)

    def _grow(self, block: Block, text: str, steps: list[Step]) -> None:
        if text:
            block.pieces.append(text)
        ready = block.kind != "call" or block.name
        if block is self.all[self.head] and ready:
            self._out(steps)

    def _out(self, steps: list[Step]) -> None:
        block = self.all[self.head]
        if not self.opened:
            steps.append(Opened(block))
            self.opened = True
        if block.sent < len(block.pieces):
            steps.append(Grown(block, "".join(block.pieces[block.sent :])))
            block.sent = len(block.pieces)

    def _close(self, steps: list[Step]) -> None:
        steps.append(Closed(self.all[self.head]))
        self.head += 1
        self.opened = False


_KINDS: dict[str, Kind] = {"reasoning_content": "reasoning", "content": "text", "refusal": "refusal"}


def _said(delta: dict[str, Any], key: str) -> str:
    """A text of the delta. Reasoning has two names: vLLM and OpenRouter say `reasoning`."""
    value = delta.get(key)
    if key == "reasoning_content" and not value:
        value = delta.get("reasoning")
    if isinstance(value, list):
        return "".join(_text(part.get("text")) for part in value if isinstance(part, dict))
    return _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _over(block: Block) -> bool:
    """Whether a block cannot grow: a text that another kind follows, a call whose arguments are whole."""
    if block.kind != "call":
        return True
    return bool(block.name) and arguments(block.text) is not None


def arguments(text: str) -> dict[str, Any] | None:
    """A call's arguments as the object they spell, or None where they spell none (yet)."""
    try:
        return json_body.answer(text.encode())
    except (json_body.Unreadable, UnicodeEncodeError):
        return None


def first(body: dict[str, Any]) -> dict[str, Any]:
    """The first choice of an answer or a chunk: those who ask by blocks ask for one."""
    choices = body.get("choices")
    found = choices if isinstance(choices, list) else []
    return next((c for c in found if isinstance(c, dict) and c.get("index", 0) == 0), {})


def whole(answer: dict[str, Any]) -> list[Block]:
    """The blocks of an answer that was not streamed."""
    message = first(answer).get("message")
    blocks = Blocks()
    steps = [*blocks.feed(message if isinstance(message, dict) else {}), *blocks.finish()]
    return [step.block for step in steps if isinstance(step, Closed)]


def fault(chunk: dict[str, Any]) -> str:
    """What an upstream says of why it failed in the middle of a stream."""
    error = chunk.get("error")
    said = error.get("message") if isinstance(error, dict) else error
    return said if isinstance(said, str) and said else "The upstream failed in the middle of its answer."
