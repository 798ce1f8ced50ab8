"""Routes as they are configured, before scripted servers on real sockets."""

from __future__ import annotations

import asyncio
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest
from support.answers import answer, completion
from support.roads import road
from support.script import Hang, Reset, Script, Send, Wait, head

JSON = ("content-type", "application/json")
FAILING = answer({"error": {"message": "no"}}, 503)
QUICK = {"timeouts": {"connect_s": 1, "first_byte_s": 0.3, "idle_s": 0.3, "total_s": 5}}


async def test_a_storm_of_failures_multiplies_requests_by_no_more_than_the_budget(tmp_path: Path) -> None:
    """Both upstreams are overloaded: breakers set aside, what reaches them is what clients send and a fifth more."""
    route = {"balance": "least", "retries": {"most": 3, "first_s": 0.001, "floor_per_s": 0}}
    never = {"breaker": {"failures": 100_000, "volume": 100_000}}
    async with road(tmp_path, ["a", "b"], route, never) as gateway:
        for server in gateway.servers.values():
            server.always(FAILING)
        answers = [await gateway.ask() for _ in range(100)]
        assert {each.status_code for each in answers} == {503}
        assert 100 < sum(gateway.asked().values()) <= 120


async def test_when_all_are_down_the_breaker_opens_and_a_probe_brings_them_back(tmp_path: Path) -> None:
    quick = {"breaker": {"failures": 3, "rest_s": 0.2, "most_rest_s": 0.2}}
    async with road(tmp_path, ["a"], {}, quick) as gateway:
        gateway.servers["a"].always(FAILING)
        assert [(await gateway.ask()).status_code for _ in range(3)] == [503] * 3
        refused = await gateway.ask()
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "upstream_unavailable")
        assert int(refused.headers["retry-after"]) >= 1
        assert gateway.asked() == {"a": 3}
        assert (await gateway.metrics())['tidegate_upstream_asked{upstream="a"}'] == 0
        gateway.servers["a"].always(answer(completion("back")))
        await asyncio.sleep(0.25)
        assert (await gateway.ask()).status_code == 200
        (ejected,), (returned,) = gateway.said("upstream.ejected"), gateway.said("upstream.returned")
        assert (ejected["reason"], ejected["times"], returned["how"]) == ("failures", 1, "probe")
        metrics = await gateway.metrics()
        assert metrics['tidegate_upstream_asked{upstream="a"}'] == 1
        assert metrics['tidegate_upstream_ejections_total{upstream="a",reason="failures"}'] == 1
        assert metrics['tidegate_upstream_faults_total{upstream="a",fault="overloaded"}'] == 3


EVENTS = Send(head(200, [("content-type", "text/event-stream"), ("transfer-encoding", "chunked")]))
BEFORE: dict[str, Script] = {
    "503": FAILING,
    "401": answer({"error": {}}, 401),
    "hangs": Script((Hang(),)),
    "resets": Script((Reset(),)),
    "garbage": Script((Send(b"what?\r\n\r\n"),)),
}
WITHIN = {"hangs after its head": Script((EVENTS, Hang())), "resets after its head": Script((EVENTS, Reset()))}


@pytest.mark.parametrize(
    ("fault", "stream"),
    [*((name, stream) for name in BEFORE for stream in (False, True)), *((name, True) for name in WITHIN)],
)
async def test_before_the_first_byte_another_one_answers(tmp_path: Path, fault: str, stream: bool) -> None:
    async with road(tmp_path, ["a", "b"], {}, QUICK) as gateway:
        gateway.servers["a"].always((BEFORE | WITHIN)[fault])
        answered = await gateway.ask(stream=stream)
        assert answered.status_code == 200
        (record,) = gateway.said("exchange.completed")
        assert (record["tried"], record["upstream"], record["outcome"]) == (["a", "b"], "b", "completed")


async def test_the_routes_deadline_counts_against_who_kept_it_waiting(tmp_path: Path) -> None:
    async with road(tmp_path, ["a"], {"deadline_s": 0.2}, {"breaker": {"failures": 2}}) as gateway:
        gateway.servers["a"].always(Script((Hang(),)))
        assert [(await gateway.ask()).status_code for _ in range(3)] == [504, 504, 503]


async def test_more_than_an_upstream_may_have_at_once_wait_and_the_rest_is_sent_away(tmp_path: Path) -> None:
    slow = Script((Wait(0.15), *answer(completion("done")).steps))
    async with road(tmp_path, ["a"], {}, {"load": {"concurrency": 2, "queue": 3}}) as gateway:
        gateway.servers["a"].always(slow)
        answers = await asyncio.gather(*(gateway.ask() for _ in range(10)))
        assert Counter(each.status_code for each in answers) == {200: 5, 503: 5}
        assert all(int(each.headers["retry-after"]) >= 1 for each in answers if each.status_code == 503)
        assert {each.json()["error"]["code"] for each in answers if each.status_code == 503} == {"upstream_busy"}
        assert gateway.servers["a"].accepted <= 2
        waits = sorted(record["queue_ms"] for record in gateway.said("exchange.completed") if record["status"] == 200)
        assert waits[:2] == [0, 0]
        assert waits[-1] > 100
        assert (await gateway.metrics())['tidegate_upstream_outstanding{upstream="a"}'] == 0


async def test_keys_of_an_upstream_take_turns_and_a_limited_one_is_spared(tmp_path: Path) -> None:
    async with road(tmp_path, ["a"], {}, {"api_keys": ["one", "two"]}) as gateway:
        limited = answer({"error": {}}, 429, [JSON, ("retry-after", "60")])
        gateway.servers["a"].play(limited)
        assert [(await gateway.ask()).status_code for _ in range(4)] == [200] * 4
        bearers = [seen.header("authorization")[7:] for seen in gateway.servers["a"].seen]
        assert bearers == ["one", "two", "two", "two", "two"]
        assert b"one" not in gateway.events.read_bytes().replace(b"none", b"")


async def test_health_checks_take_one_away_and_bring_it_back(tmp_path: Path) -> None:
    health = {"health": {"path": "/up", "every_s": 0.05, "timeout_s": 0.5, "bad": 2, "good": 1}}
    async with road(tmp_path, ["a", "b"], {}, health) as gateway:
        sick = answer({}, 500)
        well = answer({})
        a, b = gateway.servers["a"], gateway.servers["b"]
        speak = b.default
        state = {"a": sick}
        a.default = lambda seen: state["a"] if seen.method == "GET" else speak(seen)
        b.default = lambda seen: well if seen.method == "GET" else speak(seen)
        await gateway.until("upstream.ejected")
        await gateway.ask()
        state["a"] = well
        await gateway.until("upstream.returned")
        await gateway.ask()
        assert [record["upstream"] for record in gateway.said("exchange.completed")] == ["b", "a"]
        assert gateway.said("upstream.ejected")[0]["reason"] == "health"


async def test_an_arm_is_in_the_record_and_a_key_stays_in_its_arm(tmp_path: Path) -> None:
    keys = [{"name": f"app-{n}", "sha256": sha256(f"k{n}".encode()).hexdigest()} for n in range(12)]
    arms = [{"name": "old", "upstreams": ["a"]}, {"name": "new", "upstreams": [{"name": "b", "model": "theirs"}]}]
    async with road(tmp_path, ["a", "b"], {"split": {"by": "key", "arms": arms}}, keys=keys) as gateway:
        for _ in range(2):
            for n in range(12):
                assert (await gateway.ask(key=f"k{n}")).status_code == 200
        came = {(record["principal"], record["arm"]) for record in gateway.said("exchange.completed")}
        assert len(came) == 12
        assert {arm for _, arm in came} == {"old", "new"}
        assert {seen.json()["model"] for seen in gateway.servers["b"].seen} == {"theirs"}


async def test_names_lead_to_the_route_and_the_record_has_the_one_asked_for(tmp_path: Path) -> None:
    async with road(tmp_path, ["a"], {"aliases": ["other", "m-2*"]}) as gateway:
        assert [(await gateway.ask(name)).status_code for name in ("m", "other", "m-2026", "m-1")] == [
            200,
            200,
            200,
            404,
        ]
        assert [seen.json()["model"] for seen in gateway.servers["a"].seen] == ["m", "m", "m"]
        records = gateway.said("exchange.completed")[:3]
        assert [(record["model"], record["route"]) for record in records] == [
            ("m", "m"),
            ("other", "m"),
            ("m-2026", "m"),
        ]
        listed = (await gateway.client.get("/v1/models")).json()["data"]
        assert [model["id"] for model in listed] == ["m", "other"]


# Mirrors

SECRET = {"input": [{"pattern": {"deny": ["secret-[0-9]+"], "action": "redact"}}, {"pattern": {"deny": ["umbrella"]}}]}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_mirror_gets_the_redacted_request_and_leaves_its_own_priced_record(
    tmp_path: Path, stream: bool
) -> None:
    more = {"price": {"input": 1000.0, "output": 2000.0}}
    route = {"upstreams": ["a"], "mirror": {"name": "b", "model": "theirs"}}
    async with road(tmp_path, ["a", "b"], route, more, SECRET) as gateway:
        said = {"role": "user", "content": "it is secret-7"}
        assert (await gateway.ask(messages=[said], stream=stream)).status_code == 200
        (shadow,) = await gateway.until("mirror.completed")
        (record,) = gateway.said("exchange.completed")
        seen = gateway.servers["b"].seen[0].json()
        assert (seen["model"], seen["messages"][0]["content"]) == ("theirs", "it is [REDACTED]")
        assert (shadow["of"], shadow["outcome"], shadow["upstream"]) == (record["id"], "completed", "b")
        assert shadow["input_tokens"] > 0
        assert shadow["cost_usd"] == pytest.approx(shadow["input_tokens"] / 1e3 + shadow["output_tokens"] / 500)
        assert record["tried"] == ["a"]
        assert gateway.said("mirror.started")[0]["id"] == shadow["id"]
        metrics = await gateway.metrics()
        assert metrics['tidegate_mirrored_total{route="m",upstream="b",outcome="completed"}'] == 1
        assert metrics['tidegate_cost_usd_total{route="m",upstream="b",class="input"}'] > 0


async def test_what_a_policy_refuses_is_not_mirrored(tmp_path: Path) -> None:
    async with road(tmp_path, ["a", "b"], {"upstreams": ["a"], "mirror": {"name": "b"}}, policy=SECRET) as gateway:
        refused = await gateway.ask(messages=[{"role": "user", "content": "an umbrella"}])
        assert refused.status_code == 400
        assert gateway.asked() == {"a": 0, "b": 0}


async def test_a_mirror_that_hangs_keeps_nobody_waiting_and_never_grows(tmp_path: Path) -> None:
    route = {"upstreams": ["a"], "mirror": {"name": "b", "most": 2}}
    async with road(tmp_path, ["a", "b"], route) as gateway:
        gateway.servers["b"].always(Script((Hang(),)))
        async with asyncio.timeout(10):  # far below the mirror's own patience
            assert [(await gateway.ask()).status_code for _ in range(6)] == [200] * 6
        await gateway.servers["b"].saw(2)
        assert gateway.asked() == {"a": 6, "b": 2}
        assert (await gateway.metrics())['tidegate_mirrored_total{route="m",upstream="b",outcome="skipped"}'] == 4
        events = gateway.said
    assert [shadow["outcome"] for shadow in events("mirror.completed")] == ["cancelled"] * 2


@pytest.mark.parametrize("fault", [FAILING, Script((Reset(),)), answer("{"), answer("[]")])
async def test_a_mirror_that_fails_is_recorded_and_touches_nothing(tmp_path: Path, fault: Script) -> None:
    async with road(tmp_path, ["a", "b"], {"upstreams": ["a"], "mirror": {"name": "b"}}) as gateway:
        gateway.servers["b"].always(fault)
        assert (await gateway.ask()).status_code == 200
        (shadow,) = await gateway.until("mirror.completed")
        assert (shadow["outcome"], shadow["of"]) == ("failed", gateway.said("exchange.completed")[0]["id"])
        assert gateway.said("exchange.completed")[0]["outcome"] == "completed"
