from __future__ import annotations

import asyncio
import socket
import stat
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.workers import Start, Worker

from gateway.errors import UpstreamTimeout, WorkerBusy, WorkerFault, WorkerLost, WorkerTimeout
from gateway.worker import frames
from gateway.worker.client import Client
from gateway.worker.supervisor import Host

pytestmark = pytest.mark.engine


@pytest_asyncio.fixture
async def worker(start: Start) -> AsyncIterator[Worker]:
    async with start() as one:
        yield one


async def test_calls_are_answered_by_a_process_forked_from_the_one_that_prepared(worker: Worker) -> None:
    who = await worker.client.call("who", None, deadline_s=5)
    assert who["pid"] != who["template"]
    assert (await worker.client.ping(deadline_s=5))["pid"] == who["pid"]


@pytest.mark.parametrize("payload", [None, {"a": [1, 2.5, "é", None]}, [], "", "x" * 3_000_000])
async def test_payloads_come_back_as_they_went(worker: Worker, payload: Any) -> None:
    assert await worker.client.call("echo", payload, deadline_s=10) == payload


async def test_answers_go_to_the_callers_who_asked(worker: Worker) -> None:
    client = worker.client
    answers = await asyncio.gather(*(client.call("echo", n, deadline_s=20) for n in range(500)))
    assert answers == list(range(500))


async def test_several_clients_share_a_server(worker: Worker) -> None:
    async with Client(worker.host.socket, name="other") as other:
        answers = await asyncio.gather(
            *(c.call("echo", n, deadline_s=20) for n in range(50) for c in (worker.client, other))
        )
    assert answers == [n for n in range(50) for _ in range(2)]


async def test_a_call_past_its_deadline_is_cancelled_in_the_engine(worker: Worker) -> None:
    with pytest.raises(WorkerTimeout):
        await worker.client.call("sleep", 60, deadline_s=0.1)
    assert await cancelled(worker.client)
    assert worker.told("worker.restarted") == []


async def test_a_caller_who_gives_up_cancels_the_engine(worker: Worker) -> None:
    call = asyncio.create_task(worker.client.call("sleep", 60, deadline_s=60))
    await asyncio.sleep(0.1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await cancelled(worker.client)


async def test_a_client_that_goes_away_cancels_its_calls(worker: Worker) -> None:
    async with Client(worker.host.socket, name="other") as other:
        call = asyncio.create_task(other.call("sleep", 60, deadline_s=60))
        await asyncio.sleep(0.1)
    with pytest.raises(WorkerLost):
        await call
    assert await cancelled(worker.client)


async def test_a_closed_client_calls_nobody(worker: Worker) -> None:
    async with Client(worker.host.socket, name="other") as other:
        await other.ready(5)
    with pytest.raises(WorkerLost, match="closed"):
        await other.call("echo", 1, deadline_s=1)


async def test_so_many_calls_run_at_once_and_the_rest_wait_in_order(start: Start) -> None:
    async with start(limit=3, queue=20) as worker:
        peaks = await asyncio.gather(*(worker.client.call("together", 0.02, deadline_s=20) for _ in range(20)))
    assert peaks == sorted(peaks)
    assert max(peaks) == 3


async def test_calls_beyond_the_queue_are_refused_at_once(start: Start) -> None:
    async with start(limit=1, queue=1) as worker:
        calls = [asyncio.create_task(worker.client.call("sleep", 60, deadline_s=60)) for _ in range(2)]
        while (told := await worker.client.ping(deadline_s=5))["waiting"] < 1:
            continue
        assert told["running"] == 1
        with pytest.raises(WorkerBusy, match="echo"):
            await worker.client.call("echo", 1, deadline_s=60)
        calls[1].cancel()
        calls[0].cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert await worker.client.call("echo", 1, deadline_s=5) == 1


async def test_a_client_refuses_calls_beyond_its_own_limit(worker: Worker) -> None:
    async with Client(worker.host.socket, name="narrow", limit=1) as narrow:
        call = asyncio.create_task(narrow.call("sleep", 0.2, deadline_s=5))
        await asyncio.sleep(0.05)
        with pytest.raises(WorkerBusy, match="narrow"):
            await narrow.call("echo", 1, deadline_s=5)
        assert await call == "slept"


@pytest.mark.parametrize(
    "name",
    [
        "ValueError",
        "CancelledError",
        "RecursionError",
        "MemoryError",
        "KeyboardInterrupt",
        "TimeoutError",
        "BaseExceptionGroup",
    ],
)
async def test_whatever_an_engine_raises_is_a_fault_that_tells_the_class_alone(worker: Worker, name: str) -> None:
    pid = (await worker.client.ping(deadline_s=5))["pid"]
    with pytest.raises(WorkerFault) as caught:
        await worker.client.call("raises", name, deadline_s=5)
    assert name in caught.value.message
    assert "prompt" not in caught.value.message
    assert (await worker.client.ping(deadline_s=5))["pid"] == pid


async def test_an_engine_that_exits_in_a_call_hurts_only_that_call(worker: Worker) -> None:
    neighbour = asyncio.create_task(worker.client.call("sleep", 0.3, deadline_s=10))
    with pytest.raises(WorkerFault, match="SystemExit"):
        await worker.client.call("exits", 3, deadline_s=5)
    assert await neighbour == "slept"


async def test_an_error_of_ours_arrives_as_itself(worker: Worker) -> None:
    with pytest.raises(UpstreamTimeout) as caught:
        await worker.client.call("upstream", "the model took too long", deadline_s=5)
    assert caught.value.message == "the model took too long"
    assert caught.value.retry_after == 2.5


@pytest.mark.parametrize("kind", ["object", "bytes", "huge", "keys", "surrogate"])
async def test_an_answer_that_is_no_json_is_a_fault(worker: Worker, kind: str) -> None:
    with pytest.raises(WorkerFault, match="not JSON"):
        await worker.client.call("junk", kind, deadline_s=5)


async def test_an_error_that_json_cannot_hold_is_still_a_fault(worker: Worker) -> None:
    with pytest.raises(WorkerFault):
        await worker.client.call("surrogate_error", None, deadline_s=5)


async def test_an_answer_beyond_the_limit_is_a_fault(worker: Worker) -> None:
    with pytest.raises(WorkerFault, match="larger"):
        await worker.client.call("large", frames.MAX, deadline_s=30)
    assert await worker.client.call("echo", 1, deadline_s=5) == 1


async def test_a_payload_that_is_no_json_never_leaves(worker: Worker) -> None:
    with pytest.raises(WorkerFault, match="not JSON"):
        await worker.client.call("echo", {1, 2}, deadline_s=5)
    assert await worker.client.call("echo", 1, deadline_s=5) == 1


@pytest.mark.parametrize("deadline_s", [float("inf"), float("nan"), 10])
async def test_a_deadline_need_not_be_finite(worker: Worker, deadline_s: float) -> None:
    assert await worker.client.call("echo", 1, deadline_s=deadline_s) == 1
    assert [n async for n in worker.client.stream("any", {"count": 2}, deadline_s=deadline_s)] == [0, 1]


async def test_a_deadline_that_has_passed_begins_nothing(worker: Worker, folder: Path) -> None:
    await worker.client.ready(5)
    for deadline_s in (0, -1):
        with pytest.raises(WorkerTimeout):
            await worker.client.call("noted", str(folder / "mark"), deadline_s=deadline_s)
    assert await worker.client.call("echo", 1, deadline_s=5) == 1
    assert not (folder / "mark").exists()


async def test_an_unknown_method_is_a_fault(worker: Worker) -> None:
    with pytest.raises(WorkerFault, match="AttributeError"):
        await worker.client.call("nonsense", None, deadline_s=5)


async def test_nothing_an_engine_prints_mixes_with_events_or_shows_a_prompt(
    start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    async with start() as worker:
        await worker.client.call("printed", '{"event":"lost","reason":"forged"}', deadline_s=5)
        await worker.client.call("background", "the prompt", deadline_s=5)
        await asyncio.sleep(0.2)
        assert worker.told("worker.failed") == []
    out, err = capfd.readouterr()
    assert out == ""
    assert "printed while preparing" in err
    assert "unhandled" in err
    assert "the prompt" not in err


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, b"\x00\x00\x00\x02{}", frames.encode(frames.Result(1, 2)), b"\x00\x00"],
)
async def test_garbage_on_the_socket_hurts_only_who_sent_it(worker: Worker, garbage: bytes) -> None:
    pid = (await worker.client.ping(deadline_s=5))["pid"]
    await asyncio.to_thread(send, worker.host.socket, garbage)
    assert (await worker.client.ping(deadline_s=5))["pid"] == pid


async def test_two_calls_of_one_number_end_the_connection(worker: Worker) -> None:
    call = frames.encode(frames.Call(1, "sleep", 60, time.monotonic() + 60))
    answer = await asyncio.to_thread(send, worker.host.socket, call + call)
    assert len(answer) == len(frames.encode(frames.Hello(0))) or answer.startswith(b"\0\0")
    assert await cancelled(worker.client)


async def test_half_a_frame_waits_for_its_other_half(worker: Worker) -> None:
    def halves() -> list[frames.Answered]:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(worker.host.socket))
            peer.settimeout(10)
            call = frames.encode(frames.Call(7, "echo", "whole", time.monotonic() + 10))
            peer.sendall(call[:9])
            time.sleep(0.1)
            peer.sendall(call[9:])
            got: list[frames.Answered] = []
            decoder: frames.Decoder[frames.Answered] = frames.Decoder(frames.answered)
            while len(got) < 2:
                got += decoder.feed(peer.recv(4096))
            return got

    assert (await asyncio.to_thread(halves))[1] == frames.Result(7, "whole")


async def test_only_this_user_reaches_the_socket(worker: Worker) -> None:
    assert stat.S_IMODE(worker.host.socket.stat().st_mode) == 0o600


async def test_where_nobody_listens_a_call_ends_with_its_deadline(folder: Path) -> None:
    async with Client(folder / "none.sock", name="absent") as client:
        with pytest.raises(WorkerLost, match="absent is not running"):
            await client.call("echo", 1, deadline_s=0.1)


async def test_a_call_waits_for_a_worker_that_is_just_starting(host: Callable[..., Host], start: Start) -> None:
    async with Client(host().socket, name="early") as early:
        call = asyncio.create_task(early.call("echo", 1, deadline_s=30))
        await asyncio.sleep(0.05)
        async with start():
            assert await call == 1


async def cancelled(client: Client) -> bool:
    for _ in range(100):
        if "cancelled" in await client.call("told", None, deadline_s=5):
            return True
        await asyncio.sleep(0.02)
    return False


def send(path: Path, data: bytes) -> bytes:
    """Send and read until the other side closes or has nothing to say for a while."""
    got = b""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(0.3)
        peer.connect(str(path))
        peer.sendall(data)
        try:
            while part := peer.recv(4096):
                got += part
        except (TimeoutError, ConnectionResetError):
            pass
    return got
