"""Copies of policies are let go of when nothing needs them, and not before; the same fault is told once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from gateway.config.schema import Config
from gateway.errors import ConfigError, Problem
from gateway.serve.reading import Reading
from gateway.serve.reload import Reloads, Standing


class Slow(Reading):
    """Copies, then waits while other things happen."""

    began: asyncio.Event
    go: asyncio.Event

    def read(self) -> Config:
        assert self.to is not None
        self.to.mkdir()
        (self.to / "default.yaml").touch()
        asyncio.run_coroutine_threadsafe(_passing(self.began, self.go), LOOPS[0]).result()
        FOUND.extend(path.name for path in self.to.iterdir())
        raise ConfigError([Problem("default.yaml", 1, "not good")])


LOOPS: list[asyncio.AbstractEventLoop] = []
FOUND: list[str] = []


async def _passing(began: asyncio.Event, go: asyncio.Event) -> None:
    began.set()
    await go.wait()


async def _kept(members: object) -> None:
    del members


async def test_a_copy_stays_while_it_is_read(tmp_path: Path) -> None:
    LOOPS[:], FOUND[:] = [asyncio.get_running_loop()], []
    Slow.began, Slow.go = asyncio.Event(), asyncio.Event()
    told: list[dict[str, Any]] = []
    first = tmp_path / "policies-1"
    config = cast("Config", SimpleNamespace(folder=first))
    fronts = SimpleNamespace(current=SimpleNamespace(generation=1), held={1})
    reloads = Reloads(
        reading=Slow(tmp_path / "gateway.yaml", {}, to=first),
        crew=cast("Any", SimpleNamespace(keep=_kept)),
        fronts=cast("Any", fronts),
        tally=cast("Any", SimpleNamespace(readings=SimpleNamespace(add=lambda _: None))),
        log=cast("Any", SimpleNamespace(emit=lambda name, **fields: told.append({"event": name, **fields}))),
        say=lambda _: None,
        standing={1: Standing(config, ())},
    )
    reading = asyncio.create_task(reloads.reload(asked=False))
    await Slow.began.wait()
    await reloads.tidy()
    Slow.go.set()
    await reading
    assert FOUND == ["default.yaml"]
    await reloads.reload(asked=False)
    assert [event["event"] for event in told] == ["config.refused"]
    await reloads.reload(asked=True)
    assert [event["event"] for event in told] == ["config.refused", "config.refused"]
    assert not (tmp_path / "policies-2").exists()
