"""Reads a Dockerfile into stages of instructions: the few that ours uses, and nothing that would be guessed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

KNOWN = ("RUN", "WORKDIR", "COPY", "ENV", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD")


@dataclass(frozen=True, slots=True)
class Instruction:
    word: str
    rest: str

    @property
    def argv(self) -> list[str]:
        """The exec form's words; ValueError for the shell form."""
        words: list[str] = json.loads(self.rest[self.rest.index("[") :])
        return words


@dataclass(frozen=True, slots=True)
class Stage:
    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def last(self, word: str) -> Instruction:
        return [each for each in self.instructions if each.word == word][-1]


def parse(text: str) -> list[Stage]:
    """Stages in order. ValueError for an instruction that is not one of `KNOWN`."""
    stages: list[Stage] = []
    for line in _lines(text):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, *named = shlex.split(rest)
            stages.append(Stage(base, named[1] if named else ""))
        elif word in KNOWN:
            stages[-1].instructions.append(Instruction(word, rest.strip()))
        else:
            raise ValueError(f"{word} is not an instruction that is understood here")
    return stages


def read(path: Path) -> list[Stage]:
    return parse(path.read_text())


def _lines(text: str) -> Iterator[str]:
    """Instructions, one each, without comments and with continued lines joined."""
    spoken = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    yield from (line.strip() for line in spoken.replace("\\\n", " ").splitlines() if line.strip())
