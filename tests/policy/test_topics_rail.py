"""What a conversation may be about: by words, by examples with the scorer itself, and how often that is right."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.judging import answer, asked, inspected
from support.workers import Worker, started

from gateway.config.policy import TopicsSpec
from gateway.errors import ConfigError, WorkerFault
from gateway.policy.rail import Caller, Tools, Unit
from gateway.policy.rails import topics
from gateway.policy.rails.topics import TopicsRail
from gateway.policy.verdict import ALLOW, Action, Verdict
from gateway.worker.supervisor import Host

pytestmark = pytest.mark.asyncio(loop_scope="module")

DATA = Path(__file__).parents[1] / "data" / "topics.yaml"


class Scripted:
    """A scorer to which a text is as near to a topic as a word of it says: `medical:0.7`, a topic's only example."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    async def call(self, method: str, payload: Any, *, deadline_s: float) -> Any:
        assert method == "similar"
        self.asked.append(payload["texts"])
        return {"similar": [[self.near(text, group[0]) for group in payload["groups"]] for text in payload["texts"]]}

    def near(self, text: str, topic: str) -> float:
        said = [word.partition(":") for word in text.rstrip(".?!").split()]
        return max((float(number) for name, _, number in said if name == topic and number), default=0.0)


def rail(worker: Caller, **said: Any) -> TopicsRail:
    spec = TopicsSpec.model_validate({"kind": "topics", **said})
    return topics.build(spec, Tools({"scorer": worker}, 30.0))


def named(*names: str) -> dict[str, tuple[str, ...]]:
    return {name: (name,) for name in names}


def rules(verdict: Verdict) -> set[str]:
    return {finding.rule for finding in verdict.findings}


async def broken(one: TopicsRail, text: str) -> set[str]:
    (verdict,) = await inspected(one, asked(text))
    return rules(verdict)


# By words…

WORDS = {"medicine": ("ibuprofen", "blood pressure", "C++"), "news": ("новости",)}


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("Take IBUPROFEN!", "medicine"),
        ("my blood \n pressure", "medicine"),
        ("i\u200bbuprofen", "medicine"),
        ("ibuprofеn", "medicine"),
        ("I know C++ well", "medicine"),
        ("Последние новости", "news"),
        ("ibuprofens", None),
        ("blood and pressure", None),
        ("C+", None),
        ("", None),
    ],
)
async def test_words_tell_a_topic_without_a_scorer(text: str, topic: str | None) -> None:
    one = topics.build(TopicsSpec.model_validate({"kind": "topics", "keywords": WORDS}), Tools({}))
    assert await broken(one, text) == ({topic} if topic else set())


async def test_a_word_that_tells_spares_the_scorer_its_work() -> None:
    worker = Scripted()
    one = rail(worker, deny=named("medical"), keywords={"medicine": ("pill",)})
    said = await inspected(one, asked("a pill"), asked("medical:0.9"))
    assert [rules(v) for v in said] == [{"medicine"}, {"medical"}]
    assert worker.asked == [["medical:0.9"]]


# By examples…


async def test_at_the_threshold_a_topic_is_denied_and_below_it_is_not() -> None:
    one = rail(Scripted(), deny=named("medical", "legal"), threshold=0.5)
    assert await broken(one, "medical:0.5 legal:0.49") == {"medical"}
    assert await broken(one, "medical:0.49") == set()
    assert await broken(one, "medical:0.6 legal:0.7") == {"medical", "legal"}


async def test_what_is_nearer_to_an_allowed_topic_is_not_denied() -> None:
    one = rail(Scripted(), deny=named("medical"), allow=named("ferry"), threshold=0.5)
    assert await broken(one, "medical:0.6 ferry:0.7") == set()
    assert await broken(one, "medical:0.7 ferry:0.6") == {"medical"}


async def test_a_text_of_which_nothing_is_allowed_is_off_topic() -> None:
    one = rail(Scripted(), allow=named("ferry", "food"), threshold=0.5)
    assert await broken(one, "ferry:0.6 and so on") == set()
    assert await broken(one, "Hello there you too. I want food:0.5") == set()
    assert await broken(one, "ferry:0.4 and so on") == {"off_topic"}
    assert await broken(one, "Yes, please. Thanks!") == set()
    assert await broken(one, "请给我写一首关于秋天的诗歌吧") == {"off_topic"}


async def test_every_sentence_is_looked_at_whatever_stands_around_it() -> None:
    worker = Scripted()
    filler = "Nothing of interest stands here. " * 100
    assert await broken(rail(worker, deny=named("medical")), f"{filler}A medical:0.9 thing. {filler}") == {"medical"}
    assert worker.asked == [["Nothing of interest stands here.", "A medical:0.9 thing."]]


async def test_a_short_text_is_looked_at_as_a_whole_too() -> None:
    worker = Scripted()
    await broken(rail(worker, deny=named("medical")), "It hurts. What helps?")
    assert worker.asked == [["It hurts.", "What helps?", "It hurts. What helps?"]]


async def test_a_disguised_text_is_looked_at_as_it_reads() -> None:
    assert await broken(rail(Scripted(), deny=named("medical")), "mе\u200bdical:0.9") == {"medical"}


async def test_only_what_the_user_and_the_model_say_is_judged() -> None:
    one = rail(Scripted(), deny=named("medical"), keywords={"pills": ("pill",)})
    text = "medical:0.9 pill"
    others = [
        asked(text, "system"),
        asked(text, "tool"),
        asked(text, "", "tool"),
        answer(text, "reasoning"),
        asked(" "),
    ]
    assert await inspected(one, *others) == [ALLOW] * 5
    assert [v.action for v in await inspected(one, asked(text), answer(text))] == [Action.BLOCK] * 2


async def test_a_turn_that_comes_again_is_not_asked_about_again() -> None:
    worker = Scripted()
    one = rail(worker, deny=named("medical"))
    assert await broken(one, "medical:0.9 one") == {"medical"}
    said = await inspected(one, asked("medical:0.9 one"), asked("two"), asked("two"))
    assert [rules(v) for v in said] == [{"medical"}, set(), set()]
    assert worker.asked == [["medical:0.9 one"], ["two"]]


@given(st.lists(st.text("ab. !?", max_size=8), max_size=6))
async def test_nothing_is_lost_between_texts_and_their_verdicts(texts: list[str]) -> None:
    marked = [f"{text} medical:0.9" if n % 2 else text for n, text in enumerate(texts)]
    said = await inspected(rail(Scripted(), deny=named("medical")), *map(asked, marked))
    assert [rules(v) for v in said] == [{"medical"} if n % 2 else set() for n in range(len(texts))]


async def test_memory_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "_KEPT", 3)
    one = rail(Scripted(), deny=named("medical"))
    for n in range(6):
        await broken(one, f"text {n}")
    assert one.near is not None
    assert len(one.near.known) == 3


async def test_a_short_answer_of_the_scorer_is_a_fault() -> None:
    class Short(Scripted):
        async def call(self, method: str, payload: Any, *, deadline_s: float) -> Any:
            return {"similar": []}

    with pytest.raises(WorkerFault):
        await broken(rail(Short(), deny=named("medical")), "a text")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, "there is no topic"),
        ({"deny": {"a": ()}}, "deny.a: should be a list of texts"),
        ({"keywords": {"a": ("b", " ")}}, "keywords.a: should be a list of texts"),
        ({"allow": {"a": ("…",)}}, "allow.a: should be a list of texts"),
        ({"allow": {"a": ("b",)}, "deny": {"a": ("b",)}}, "allow.a: is denied as well"),
    ],
)
async def test_topics_that_nothing_tells_are_refused(said: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        rail(Scripted(), **said)


async def test_how_much_it_sees_is_the_policys() -> None:
    said = {"deny": named("a")}
    assert (rail(Scripted(), **said).unit, rail(Scripted(), unit="sentence", **said).unit) == (
        Unit.ANSWER,
        Unit.SENTENCE,
    )


# With the scorer itself…


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scorer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Worker]:
    path = tmp_path_factory.mktemp("s") / "s"
    async with started(Host("scorer", "gateway.scoring.engine", {}, path)) as worker:
        yield worker


@pytest.fixture(scope="module")
def data() -> Mapping[str, Mapping[str, Sequence[str]]]:
    found: Mapping[str, Mapping[str, Sequence[str]]] = yaml.safe_load(DATA.read_text())
    return found


@pytest.mark.engine
async def test_the_default_threshold_tells_topics_it_was_not_chosen_on(scorer: Worker, data: Any) -> None:
    """The figures in docs/rails.md: precision and recall over the odd ones of the labelled sentences."""
    one = rail(scorer.client, deny={name: tuple(told) for name, told in data["examples"].items()})
    labelled = [(name, text) for name, texts in data["labelled"].items() for text in texts[1::2]]
    found = [rules(v) for v in await inspected(one, *(asked(text) for _, text in labelled))]
    right = sum(name in said for (name, _), said in zip(labelled, found, strict=True))
    topical = sum(name != "none" for name, _ in labelled)
    assert right / sum(map(len, found)) >= 0.85, "precision; 0.89 was measured"
    assert right / topical >= 0.88, "recall; 0.93 was measured"


@pytest.mark.engine
async def test_an_assistant_keeps_to_its_subject(scorer: Worker, data: Any) -> None:
    one = rail(scorer.client, allow={"ferry": tuple(data["examples"]["ferry"])})
    on = await inspected(one, *map(asked, data["labelled"]["ferry"]))
    off = await inspected(one, *(asked(t) for n, texts in data["labelled"].items() if n != "ferry" for t in texts))
    assert sum(v is ALLOW for v in on) >= 0.9 * len(on), "0.93 was measured"
    assert sum(v is not ALLOW for v in off) >= 0.95 * len(off), "0.98 was measured"
