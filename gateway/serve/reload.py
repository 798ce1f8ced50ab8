"""Files that changed are read again: the whole new set takes over, or none of it does."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from gateway.config import document
from gateway.config.schema import Config
from gateway.errors import ConfigError, Problem, TidegateError
from gateway.front.order import Order
from gateway.observe.log import Log
from gateway.policy.load import digest
from gateway.serve import exporting, watching
from gateway.serve.crew import Crew, Member, addresses
from gateway.serve.fronts import Fronts
from gateway.serve.listener import Say
from gateway.serve.needs import Model, Worker, needs
from gateway.serve.reading import Reading, refuse
from gateway.serve.tally import Tally

_FIXED = {"server": "restart the gateway to change it", "events": "restart the gateway to change where events go"}
_PLACED = re.compile(r"(?:worker \w+ cannot start: )?(?P<file>[^:\s][^:]*):(?P<line>\d+): (?P<message>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Standing:
    """One configuration and what it runs on."""

    config: Config
    members: Sequence[Member]

    def order(self, generation: int) -> Order:
        sockets, models = addresses(self.members, Worker), addresses(self.members, Model)
        for name in (watching.NAME, *exporting.ENGINES):  # HTTP processes do without them, whether they live or not
            sockets.pop(name, None)
        return Order(generation, self.config, sockets, models)

    def digests(self) -> dict[str, str]:
        return digests(self.config)


def digests(config: Config) -> dict[str, str]:
    """Of every policy, by name."""
    return {name: digest(spec, config.folder) for name, spec in config.policies.items()}


@dataclass(slots=True, eq=False)
class Reloads:
    """Reads again by `reading` and has `fronts` and `crew` follow. `standing` are configurations in use, by number."""

    reading: Reading
    crew: Crew
    fronts: Fronts
    tally: Tally
    log: Log
    say: Say
    standing: dict[int, Standing]
    _coming: Sequence[Member] = ()
    _read: frozenset[Path] = frozenset()  # the copy that is being read
    _told: Sequence[str] = ()  # what was wrong the last time, if anything was
    _copies: count[int] = field(default_factory=lambda: count(2))
    _tidying: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def generation(self) -> int:
        return self.fronts.current.generation

    @property
    def current(self) -> Standing:
        return self.standing[self.generation]

    async def reload(self, *, asked: bool) -> None:
        """Read, check, start, swap. What is wrong is told and recorded, and nothing changes; never raises for it."""
        assert self.reading.to is not None  # noqa: S101 - a gateway runs on copies
        copy = self.reading.to.parent / f"policies-{next(self._copies)}"
        reading, self._read = replace(self.reading, to=copy), frozenset({copy})
        try:
            config = await asyncio.to_thread(reading.read)
            if not self._differs(config):
                self._told = ()
                if asked:
                    self.say("The configuration is as it was.")
                return
            refuse(_unchangeable(self.current.config, config))
            await self._swapped(config)
        except TidegateError as error:
            self._refused(_problems(error, reading), asked=asked)
        finally:
            self._coming, self._read = (), frozenset()
            await self.tidy()

    def release(self) -> None:
        """Some process has no exchange any more in a configuration that no longer stands."""
        task = asyncio.create_task(self.tidy())
        self._tidying.add(task)
        task.add_done_callback(self._tidying.discard)

    async def tidy(self) -> None:
        """Let go of what no exchange can need any more: workers, models, copies of policies."""
        held = self.fronts.held
        for generation in [*self.standing]:
            if generation not in held and generation <= self.generation:
                del self.standing[generation]
        members = [member for one in self.standing.values() for member in one.members]
        await self.crew.keep([*members, *self._coming])
        used = {one.config.folder for one in self.standing.values()}
        used |= {member.need.folder for member in members if isinstance(member.need, Worker)}
        if not self._coming:
            await asyncio.to_thread(_remove, self.reading, used | self._read)

    async def close(self) -> None:
        await asyncio.gather(*self._tidying)

    def _differs(self, config: Config) -> bool:
        before = self.current.config
        same = config.gateway == before.gateway and config.policies == before.policies
        return not same or digests(config) != digests(before)

    async def _swapped(self, config: Config) -> None:
        self._coming = members = self.crew.take(needs(config), quiet=True)
        await self.crew.ready(members)
        generation = self.generation + 1
        self.standing[generation] = coming = Standing(config, members)
        await self.fronts.swap(coming.order(generation))
        self._told = ()
        self.tally.generation = generation
        self.tally.readings.add(("reloaded",))
        self.log.emit("config.reloaded", file=str(config.file), generation=generation, policies=coming.digests())
        self.say(f"The changed configuration stands, number {generation}.")

    def _refused(self, problems: Sequence[Problem], *, asked: bool) -> None:
        told = [str(problem) for problem in problems]
        if told == self._told and not asked:  # files that were being written are seen to change twice
            return
        self._told = told
        self.tally.readings.add(("refused",))
        self.log.emit("config.refused", file=str(self.reading.file), generation=self.generation, problems=told)
        self.say("\n  ".join(["The changed configuration is refused, and the one before stays:", *told]))


def _unchangeable(before: Config, after: Config) -> list[Problem]:
    changed = {
        "server": before.gateway.server != after.gateway.server,
        "events": before.gateway.events.path != after.gateway.events.path,
    }
    written = document.read(after.file)
    return [
        Problem(str(after.file), written.line((section,)), f"{section}: {_FIXED[section]}")
        for section, differs in changed.items()
        if differs
    ]


def _problems(error: TidegateError, reading: Reading) -> list[Problem]:
    """What is wrong, each at its place in the files that are edited."""
    if isinstance(error, ConfigError):
        return error.problems
    said = reading.said(error.message)
    if found := _PLACED.fullmatch(said):
        return [Problem(found["file"], int(found["line"]), found["message"])]
    return [Problem(str(reading.file), 1, said)]


def _remove(reading: Reading, used: set[Path]) -> None:
    assert reading.to is not None  # noqa: S101 - as above
    for copy in reading.to.parent.glob("policies-*"):
        if copy not in used:
            shutil.rmtree(copy, ignore_errors=True)
