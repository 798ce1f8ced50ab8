"""A passage: one piece of text of an exchange, and where in the body it stands.

Rails judge passages, never bodies: one shape for every endpoint, role, content part and channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Path = tuple[str | int, ...]
Direction = Literal["input", "output"]


@dataclass(frozen=True, slots=True)
class Passage:
    """`text` found at `path` in the body of a request (`input`) or an answer (`output`).

    `role` is the message's role (`system`, `developer`, `user`, `assistant`, `tool`) or `""` for text that
    belongs to no message. `channel` says what kind of text it is: `content`, `reasoning`, `refusal`,
    `arguments` (of a tool call), `tool` (a tool's definition) or `field` (any other string of the body). The empty
    path stands for the names of the body's unknown fields, a line each: no text that could be rewritten.
    """

    path: Path
    role: str
    direction: Direction
    text: str
    channel: str = "content"
