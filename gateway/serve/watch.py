"""Notices that the files of a configuration changed, or that somebody asks for them to be read again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from watchfiles import awatch

from gateway.serve.files import Stamp, below, stamp

SETTLED_S = 0.1  # files that change together, or are written in pieces, are read once
LOOK_S = 2.0  # what no notice comes of is found by looking: a folder that was replaced, a network's file system


@dataclass(slots=True)
class Watch:
    """`changes` yields whenever `file` or what lies below `folder` is not as it was, or `poke` was called."""

    file: Path
    folder: Path
    _asked: bool = False
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _notices: list[asyncio.Task[None]] = field(default_factory=list)

    def poke(self) -> None:
        self._asked = True
        self._news.set()

    async def changes(self) -> AsyncGenerator[bool, None]:
        """Whether it was asked for. The first comes at once: something may have changed since the files were read."""
        try:
            self._listen()
            found = await asyncio.to_thread(self._stamp)
            yield False
            while True:
                noticed = await self._some()
                asked = await self._settled()
                before, found = found, await asyncio.to_thread(self._stamp)
                if found != before and not noticed:
                    await self._deaf()
                    self._listen()
                if found != before or asked:
                    yield asked
        finally:
            await self._deaf()

    async def _some(self) -> bool:
        """Wait for news, though not for long; whether there is any."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), LOOK_S)
        return self._news.is_set()

    async def _settled(self) -> bool:
        """Wait while there is more; not where it was asked for, of which the answer tells."""
        while self._news.is_set() and not self._asked:
            self._news.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), SETTLED_S)
        self._news.clear()
        asked, self._asked = self._asked, False
        return asked

    def _listen(self) -> None:
        deep, flat = self._notice(self.folder, recursive=True), self._notice(_parent(self.file), recursive=False)
        self._notices = [asyncio.create_task(deep), asyncio.create_task(flat)]

    async def _deaf(self) -> None:
        for task in self._notices:
            task.cancel()
        await asyncio.gather(*self._notices, return_exceptions=True)

    async def _notice(self, path: Path, *, recursive: bool) -> None:
        """The system's notices. Where there are none to be had, looking must do."""
        while True:
            with suppress(OSError, RuntimeError):
                async for _ in awatch(path, watch_filter=None, debounce=200, step=100, recursive=recursive):
                    self._news.set()
            await asyncio.sleep(LOOK_S)

    def _stamp(self) -> Stamp:
        return stamp([self.file, *below(self.folder)])


def _parent(file: Path) -> Path:
    return file.absolute().parent
