from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from policy.conftest import Hosted
from support.workers import Worker

from gateway.config.policy import PiiSpec, PolicySpec
from gateway.errors import ConfigError, WorkerFault
from gateway.policy.entities import ENTITIES
from gateway.policy.rail import Subject, Tools, Unit
from gateway.policy.rails import pii
from gateway.policy.vault import Vault
from gateway.policy.verdict import Action, Verdict, applied
from gateway.wire.passage import Direction, Passage

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]

Rail = Callable[..., pii.PiiRail]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(hosted: Hosted, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Worker]:
    """Every entity there is."""
    rail = PiiSpec(kind="pii", entities=ENTITIES)
    spec = pii.spec([PolicySpec(name="all", input=(rail,))], tmp_path_factory.mktemp("policies"))
    async with hosted("pii", "pii", spec) as one:
        yield one


@pytest.fixture
def rail(worker: Worker) -> Rail:
    def make(deadline_s: float = 20.0, **said: Any) -> pii.PiiRail:
        return pii.build(PiiSpec.model_validate({"kind": "pii", **said}), Tools({"pii": worker.client}, deadline_s))

    return make


def passage(text: str, direction: Direction = "input", channel: str = "content") -> Passage:
    return Passage((), "user", direction, text, channel)


async def judged(rail: pii.PiiRail, *texts: str) -> Sequence[Verdict]:
    return await rail.inspect(Subject([passage(text) for text in texts]))


@pytest.mark.parametrize(
    ("entity", "text"),
    [
        ("ABA_ROUTING_NUMBER", "aba routing 021000021"),
        ("AU_TFN", "tax file number 876 543 210"),
        ("CRYPTO", "send it to 16Yeky6GMjeNkAiNcBY7ZhrLoMSgg1BoyZ"),
        ("ES_NIF", "NIF 55555555K"),
        ("IN_PAN", "pan AAAPA1234L"),
        ("IT_FISCAL_CODE", "codice fiscale AAAAAA00B11C333N"),
        ("MAC_ADDRESS", "00:1B:44:11:3A:B7"),
        ("MEDICAL_LICENSE", "BB1388568"),
        ("PL_PESEL", "pesel 44051401359"),
        ("SG_NRIC_FIN", "nric G1122144L"),
        ("UK_NHS", "nhs 401-023-2137"),
        ("UK_NINO", "AA 12 34 56 B"),
        ("US_BANK_NUMBER", "my bank account is 945456787654"),
        ("US_DRIVER_LICENSE", "driver license H12234567"),
        ("US_ITIN", "itin 911-70-1234"),
        ("US_PASSPORT", "my passport is 912803456"),
    ],
)
async def test_each_kind_of_number_is_found_with_its_words(rail: Rail, entity: str, text: str) -> None:
    (verdict,) = await judged(rail(entities=(entity,), action="flag"), text)
    assert {f.rule for f in verdict.findings} == {entity}


async def test_every_entity_can_be_looked_for(rail: Rail) -> None:
    assert await judged(rail(entities=ENTITIES), "Our shop opens at nine, closed on Sundays.") == [Verdict()]


async def test_redaction_puts_the_kind_in_place_of_the_value(rail: Rail) -> None:
    text = "mail bob@example.com and eve@example.com, call 415-555-0134"
    (verdict,) = await judged(rail(), text)
    assert verdict.action is Action.REDACT
    assert applied(text, verdict.edits) == "mail [EMAIL_ADDRESS] and [EMAIL_ADDRESS], call [PHONE_NUMBER]"
    assert {(f.rail, f.rule, f.count) for f in verdict.findings} == {
        ("pii", "EMAIL_ADDRESS", 2),
        ("pii", "PHONE_NUMBER", 1),
    }
    assert "example" not in repr(verdict.findings)


@pytest.mark.parametrize(("word", "action"), [("flag", Action.FLAG), ("block", Action.BLOCK)])
async def test_flag_and_block_edit_nothing(rail: Rail, word: str, action: Action) -> None:
    (verdict,) = await judged(rail(action=word), "bob@example.com")
    assert (verdict.action, verdict.edits) == (action, frozenset())


async def test_what_is_restored_is_what_the_client_sent(rail: Rail) -> None:
    texts = ["I am bob@example.com.", "Not <EMAIL_ADDRESS_1>!", "bob@example.com or eve@example.com, 415-555-0134"]
    vault = Vault()
    verdicts = await rail(restore=True).inspect(Subject([passage(text) for text in texts], vault=vault))
    masked = [applied(text, verdict.edits) for text, verdict in zip(texts, verdicts, strict=True)]
    assert masked == [
        "I am <EMAIL_ADDRESS_2>.",
        "Not <EMAIL_ADDRESS_1>!",
        "<EMAIL_ADDRESS_2> or <EMAIL_ADDRESS_3>, <PHONE_NUMBER_1>",
    ]
    assert [vault.restored(text) for text in masked] == texts


async def test_an_answer_is_not_restored_to_what_was_cut_from_it(rail: Rail) -> None:
    vault = Vault()
    said = "The owner is eve@example.com."
    (verdict,) = await rail(restore=True).inspect(Subject([passage(said, "output")], vault=vault))
    assert vault.restored(applied(said, verdict.edits)) == "The owner is [EMAIL_ADDRESS]."


@pytest.mark.parametrize(
    "said", [r'{"note":"to:\nbob@example.com"}', r'{"note":"\\bob@example.com"}', r'{"note":"\u00e9bob@example.com"}']
)
async def test_arguments_stay_json_when_redacted(rail: Rail, said: str) -> None:
    (verdict,) = await rail().inspect(Subject([passage(said, channel="arguments")]))
    kept = json.loads(applied(said, verdict.edits))["note"]
    assert "[EMAIL_ADDRESS]" in kept
    assert "example" not in kept


async def test_the_same_text_is_judged_alike_wherever_it_stands(rail: Rail) -> None:
    verdicts = await judged(rail(), "bob@example.com", "", "bob@example.com")
    assert verdicts[0] == verdicts[2]
    assert verdicts[1] == Verdict()


@pytest.mark.parametrize("odd", ["half \ud800 a character ", "nul \0 nul ", "\u202eback ", "é" * 5000 + " ", "😀 "])
async def test_offsets_are_right_after_odd_characters(rail: Rail, odd: str) -> None:
    text = odd + "bob@example.com"
    (verdict,) = await judged(rail(), text)
    assert applied(text, verdict.edits) == odd + "[EMAIL_ADDRESS]"


async def test_a_megabyte_is_judged_to_its_end(rail: Rail) -> None:
    text = "The quick brown fox jumps over the lazy dog.\n" * 23_000 + "bob@example.com"
    (verdict,) = await judged(rail(), text)
    assert applied(text, verdict.edits).endswith("dog.\n[EMAIL_ADDRESS]")
    assert len(verdict.edits) == 1


async def test_ten_thousand_empty_passages_cost_no_call(rail: Rail) -> None:
    assert await judged(rail(deadline_s=0.0), *[""] * 10_000) == [Verdict()] * 10_000


async def test_calls_side_by_side_get_their_own_answers(rail: Rail) -> None:
    texts = [f"{n} and user{n}@example.com" for n in range(50)]
    answers = await asyncio.gather(*(judged(rail(action="redact"), text) for text in texts))
    assert [applied(t, a[0].edits) for t, a in zip(texts, answers, strict=True)] == [
        f"{n} and [EMAIL_ADDRESS]" for n in range(50)
    ]


async def test_a_killed_worker_is_replaced(rail: Rail, worker: Worker) -> None:
    before = await worker.client.ping(deadline_s=5)
    os.kill(before["pid"], signal.SIGKILL)
    (verdict,) = await judged(rail(), "bob@example.com")
    assert verdict.action is Action.REDACT
    assert (await worker.client.ping(deadline_s=5))["pid"] != before["pid"]


async def test_a_short_answer_is_a_fault() -> None:
    class Short:
        async def call(self, method: str, payload: Any, *, deadline_s: float) -> Any:
            return {"spans": []}

    with pytest.raises(WorkerFault):
        await judged(pii.build(PiiSpec(kind="pii"), Tools({"pii": Short()})), "bob@example.com")


async def test_entities_that_are_not_known_are_told_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "desk.yaml").write_text("name: desk\ninput:\n  - pii:\n      entities: [EMAIL_ADRESS]\n")
    policy = PolicySpec(name="desk", input=(PiiSpec(kind="pii", entities=("EMAIL_ADRESS",)),))
    with pytest.raises(ConfigError) as refused:
        pii.spec([policy], tmp_path)
    (problem,) = refused.value.problems
    assert (problem.file, problem.line) == (str(tmp_path / "desk.yaml"), 4)
    assert "did you mean 'EMAIL_ADDRESS'?" in problem.message


async def test_the_spec_unites_what_policies_look_for(tmp_path: Path) -> None:
    rails = [PiiSpec(kind="pii", entities=entities) for entities in (("URL", "CRYPTO"), ("URL",))]
    policies = [PolicySpec(name="a", input=(rails[0],)), PolicySpec(name="b", output=(rails[1],))]
    assert pii.spec(policies, tmp_path) == {"entities": ["CRYPTO", "URL"]}
    assert pii.spec([PolicySpec(name="c")], tmp_path) is None


async def test_sentences_are_enough() -> None:
    assert pii.build(PiiSpec(kind="pii"), Tools({"pii": _Nobody()})).unit is Unit.SENTENCE


class _Nobody:
    async def call(self, method: str, payload: Any, *, deadline_s: float) -> Any:
        raise AssertionError("nobody should be asked")
