"""Each entry of the table of faults against the gateway as it is served, on real sockets.

`FAULT_SLACK_S=0.25` holds every end to its deadline and a quarter of a second, on a machine that does nothing else.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator

import orjson
import pytest
import pytest_asyncio
from faults.entry import ASK, GONE, Deed, Entry, Raw, Try, Up, whole
from faults.stand import DEADLINE_S, Stand, standing
from faults.table import ENTRIES
from support.answers import deltas, stream

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]

SLACK_S = float(os.environ.get("FAULT_SLACK_S", "5"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with standing(tmp_path_factory.mktemp("faults")) as opened:
        yield opened


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.tries], ids=lambda e: f"{e.number}-{e.fault[:40]}")
async def test_a_fault_ends_as_the_table_says(stand: Stand, entry: Entry) -> None:
    await stand.well()
    files = stand.files()
    for one in entry.tries:
        await tried(stand, one)
    await stand.settled(files + 2)
    await stand.well()


async def tried(stand: Stand, one: Try) -> None:
    stand.model.forget()
    match one:
        case Raw(sent, statuses):
            answer = await stand.say(sent)
            assert answer.status in statuses, (sent[:200], answer.body)
            if answer.status != GONE:
                answer.well_formed()
            assert answer.seconds < DEADLINE_S + SLACK_S
        case Up():
            await upstream(stand, one)
        case Deed(do):
            await do(stand)


async def upstream(stand: Stand, one: Up) -> None:
    if one.script.on == "accept":
        await stand.alone()
    stand.model.play(one.script)
    response = await stand.say(whole(body=body(stream=one.stream)))
    assert response.status == one.status, response.body
    response.well_formed()
    assert (response.error().get("code") or "") == one.fault, response.body
    assert one.said in response.body
    assert response.seconds < one.due_s + SLACK_S
    assert "sk-upstream" not in str(response.headers) + repr(response.body)


def body(*, stream: bool) -> bytes:
    return orjson.dumps({**ASK, "stream": stream})


async def test_a_pipelined_pair_is_answered_in_order_though_the_first_is_blocked(stand: Stand) -> None:
    await stand.well()
    forbidden = orjson.dumps({**ASK, "messages": [{"role": "user", "content": "forbidden"}]})
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(whole(body=forbidden) + whole(b"Connection: close"))
    async with asyncio.timeout(10):
        heard = await reader.read()
    writer.close()
    assert re.findall(rb"HTTP/1.1 (\d+)", heard) == [b"400", b"200"]
    assert len(stand.model.seen) == 2  # one for `well`, one for the second of the pair


async def test_a_refusal_never_stands_in_the_middle_of_an_answer(stand: Stand) -> None:
    """Junk behind a request that is being answered ends the connection after the answer, not in it."""
    await stand.well()
    stand.model.play(stream(deltas(["the", " tide"]), delay=0.05))
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(whole(body=body(stream=True)) + b"\x00junk\r\n\r\n")
    async with asyncio.timeout(10):
        heard = await reader.read()
    writer.close()
    assert heard.count(b"HTTP/1.1 ") == 1
    assert heard.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


async def test_no_key_and_no_text_of_all_this_stands_in_any_log(stand: Stand) -> None:
    """Also where everything is told to say as much as it can."""
    await stand.well()
    assert not await stand.leaks()
