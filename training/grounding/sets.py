"""The labelled sets, and the pairs of context and claim that are made of them. Split by document, never by row.

Trained on: SummEdits (three domains), HaluEval-QA's passages and questions, HaluEval's summaries. Never trained on:
SummEdits' other domains, HaluEval-dialogue (its dialogues come from a set for non-commercial use), WiCE (its pages may
not be passed on) and Factcheck-GPT, kept to judge by.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gateway.scoring.premises import stems
from gateway.wire.sentences import sentences
from training.grounding import swaps
from training.grounding.swaps import Dice

DOMAINS = ("news", "sales_call", "sales_email")  # of SummEdits, the ones trained on
HELD = 10  # one document in ten is held back from training, for fusion and its threshold


@dataclass(frozen=True, slots=True)
class Pair:
    """Whether `context`, as sentences leaves `claim` `unsupported`. `spans` are what is wrong, None if unknown."""

    source: str
    document: int
    context: tuple[str, ...]
    claim: str
    unsupported: bool
    spans: tuple[tuple[int, int], ...] | None = None


Make = tuple[Pair, ...]


def pairs(folder: Path, seed: int) -> list[Pair]:
    """All training pairs under `folder`, in an order that `seed` gives."""
    dice = random.Random(seed)  # noqa: S311 - a sample, no secret
    # SummEdits twice: it is small, and its edits of supported summaries are drawn anew.
    found = [*summaries(folder, dice), *passages(folder, dice), *summedits(folder, dice), *summedits(folder, dice)]
    dice.shuffle(found)
    return found


def held_back(document: int) -> bool:
    return document % HELD == HELD - 1


def split(text: str) -> tuple[str, ...]:
    """The sentences of `text`, bare."""
    return tuple(bare for start, end in sentences(text) if (bare := text[start:end].strip()))


# SummEdits: a summary, its edits, and what was changed…


def summedits(folder: Path, dice: Dice) -> Iterator[Pair]:
    for domain in DOMAINS:
        rows = json.loads((folder / "summedits" / f"summedits_{domain}.json").read_text())
        documents = {doc: at for at, doc in enumerate(dict.fromkeys(row["doc"] for row in rows))}
        contexts = {doc: split(doc) for doc in documents}
        for row in rows:
            make = partial(Pair, f"summedits/{domain}", documents[row["doc"]], contexts[row["doc"]])
            yield from _summary(make, row, dice)


def _summary(make: partial[Pair], row: dict[str, Any], dice: Dice) -> Iterator[Pair]:
    """The whole summary, and each of its sentences on its own."""
    text, bad = row["summary"], row["label"] == 0
    spans = tuple(swaps.differing(row["original_summary"], text)) if bad else ()
    yield make(text, bad, spans if bad else ())
    for start, end in sentences(text):
        inside = tuple((max(a, start) - start, min(b, end) - start) for a, b in spans if a < end and b > start)
        if end - start > 20 and (end - start) < 0.8 * len(text):
            yield make(text[start:end].strip(), bool(inside), inside)
    if not bad:
        yield from _edited(make, text, " ".join(make.args[2]), dice)


# HaluEval's news summaries: plain support, its swaps, and sentences from nowhere…


def summaries(folder: Path, dice: Dice) -> Iterator[Pair]:
    rows = _rows(folder / "halueval" / "summarization_first_5000.jsonl")
    documents = [split(row["document"]) for row in rows]
    for at, row in enumerate(rows):
        make = partial(Pair, "halueval/summarization", at, documents[at])
        good = [s for s in split(row["right_summary"]) if len(s) > 30]
        for claim in dice.sample(good, min(2, len(good))):
            yield from _judged(make, claim, row["document"], dice)
        if good and dice.random() < 0.4:  # a page about something else
            yield make(dice.choice(good), True).__class__(
                "halueval/summarization", at, documents[at - 1 - dice.randrange(50)], dice.choice(good), True
            )
        yield from _invented(make, row, dice)


def _invented(make: partial[Pair], row: dict[str, Any], dice: Dice) -> Iterator[Pair]:
    """Of a summary with inventions, the sentence with most words that its document does not have."""
    known = stems(row["document"])
    worst = max(
        split(row["hallucinated_summary"]), key=lambda s: len(stems(s) - known) / (2 + len(stems(s))), default=""
    )
    new = stems(worst) - known
    if len(new) >= 2 and dice.random() < 0.5:
        yield make(worst, True)


# HaluEval-QA's passages: two paragraphs of an encyclopaedia, and a question with its answer…


def passages(folder: Path, dice: Dice) -> Iterator[Pair]:
    rows = _rows(folder / "halueval" / "dataset_halueval_qa.jsonl")
    for at, row in enumerate(rows):
        context = split(row["knowledge"])
        make = partial(Pair, "halueval/qa", at, context)
        long = [s for s in context if 40 < len(s) < 300]
        if long and dice.random() < 0.7:
            yield from _stated(make, dice.choice(long), context, dice)
        if dice.random() < 0.8:
            yield from _answered(make, row, rows[at - 1 - dice.randrange(200)], dice)


def _stated(make: partial[Pair], claim: str, context: Sequence[str], dice: Dice) -> Iterator[Pair]:
    """A sentence of the passage, reworded; the same without the sentence it came from."""
    if len(context) > 1 and dice.random() < 0.25:
        yield Pair(make.args[0], make.args[1], tuple(s for s in context if s != claim), claim, True)
        return
    yield from _judged(make, swaps.reworded(claim, dice), " ".join(context), dice)


def _answered(make: partial[Pair], row: dict[str, Any], other: dict[str, Any], dice: Dice) -> Iterator[Pair]:
    """A question with its answer, or with another of the passage's names and numbers: alike in form and length."""
    question, right = row["question"].strip(), row["right_answer"].strip()
    if right.lower() in {"yes", "no"}:
        return
    wrong = swaps.swapped(right, row["knowledge"], dice) if dice.random() < 0.7 else None
    false = wrong.text if wrong and wrong.text.lower() not in right.lower() else other["right_answer"].strip()
    for answer, bad in ((right, False), (false, True)):
        if not bad or (false.lower() not in {"yes", "no"} and false.lower() not in question.lower()):
            claim = f"{question} {answer}"
            yield make(claim, bad, ((len(question) + 1, len(claim)),) if bad else ())


# What is made of any supported claim…


def _judged(make: partial[Pair], claim: str, context: str, dice: Dice) -> Iterator[Pair]:
    """The claim or a rewording of it, and edits of it."""
    yield make(swaps.reworded(claim, dice) if dice.random() < 0.3 else claim, False, ())
    if dice.random() < 0.8:
        yield from _edited(make, claim, context, dice)


def _edited(make: partial[Pair], claim: str, context: str, dice: Dice) -> Iterator[Pair]:
    """An unsupported edit; or, so that it cannot be told from the claim alone, one that the context shares or has."""
    edit = swaps.swapped(claim, context, dice)
    if edit is None:
        return
    both = swaps.carried(edit, make.args[2]) if dice.random() < 0.4 else None
    if both is None:
        yield make(edit.text, True, edit.spans)
    elif dice.random() < 0.5:
        yield Pair(make.args[0], make.args[1], both, edit.text, False, ())
    else:
        start = edit.spans[0][0]
        yield Pair(make.args[0], make.args[1], both, claim, True, ((start, start + len(edit.old)),))


def _rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]
