"""Faults of the machine: its disk, its memory, its patience."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from typing import TYPE_CHECKING

from faults.entry import CHUNKED, HOST, JSON, chunks, head, whole

if TYPE_CHECKING:
    from faults.stand import Stand


async def full_disk(stand: Stand) -> None:
    """No byte more may be written, as on a full disk: 503 and nobody is asked; then all is well again."""
    file = stand.site.folder / "events.jsonl"
    kept = resource.prlimit(stand.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(stand.pid, resource.RLIMIT_FSIZE, (file.stat().st_size, kept[1]))
    try:
        heard = await stand.say(whole())
    finally:
        resource.prlimit(stand.pid, resource.RLIMIT_FSIZE, kept)
    heard.well_formed()
    assert (heard.status, heard.error()["code"]) == (503, "audit_unavailable")
    assert not stand.model.seen


async def dev_full(stand: Stand) -> None:
    """The log is led to `/dev/full` and back; nothing is said of any text."""
    file = stand.site.folder / "events.jsonl"
    kept = file.with_suffix(".kept")
    file.rename(kept)
    file.symlink_to("/dev/full")
    try:
        async with asyncio.timeout(10):  # where its file went, a log looks now and then
            while (heard := await stand.say(whole())).status == 200:
                stand.model.forget()
    finally:
        file.unlink()
        kept.rename(file)
    assert (heard.status, heard.error()["code"]) == (503, "audit_unavailable")
    assert not stand.model.seen
    assert not await stand.leaks()
    async with asyncio.timeout(10):
        while (await stand.say(whole())).status != 200:  # noqa: ASYNC110  as above
            await asyncio.sleep(0.1)


async def paused(stand: Stand) -> None:
    """What came while it stood still is answered."""
    os.kill(stand.pid, signal.SIGSTOP)
    asking = asyncio.create_task(stand.say(whole()))
    await asyncio.sleep(1.0)
    os.kill(stand.pid, signal.SIGCONT)
    assert (await asking).status == 200


async def little_memory(stand: Stand) -> None:
    """With 64 MiB to spare, 50 MiB bodies are refused as they come."""
    kept = resource.prlimit(stand.pid, resource.RLIMIT_DATA)
    used = stand.memory("VmData")
    resource.prlimit(stand.pid, resource.RLIMIT_DATA, (used + (64 << 20), kept[1]))
    try:
        declared = head(HOST, JSON, b"Content-Length: 52428800")
        undeclared = head(HOST, JSON, CHUNKED) + chunks(*[b" " * 65536] * 8)
        for request in (declared, undeclared, declared):
            assert (await stand.say(request)).status == 413
    finally:
        resource.prlimit(stand.pid, resource.RLIMIT_DATA, kept)
