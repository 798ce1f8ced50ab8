"""Public labelled sets, as their authors publish them, as JSONL that `tidegate train` and `tidegate eval` read.

    python bench/sets.py FOLDER OUT

FOLDER holds `groundedness/`, `injection/` and `toxicity/` with a folder a set. Every row of OUT says where it is from,
under which licence, and what it must not be split from. What may not be used to train a model that is given away is
left out of the files named `train`: rows that came for research only (WildGuard's), sets whose texts go back to
non-commercial ones (HaluEval's dialogues and general questions). Parquet needs `pip install pyarrow`.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benign import requests

Row = dict[str, Any]
NEURAL = "injection/labelled/external__neuralchemy__core-{}.parquet"
LABS = "injection/labelled/external__s-labs__{}.csv"
RESEARCH = "wildguard_judgecomp"
BENIGN = 1_500
LIMIT = 1_000  # rows of a set, where a set is large
CATEGORIES = ("S", "H", "V", "HR", "SH", "S3", "H2", "V2")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name, of in FILES.items():
        rows = list(of(args.folder))
        (args.out / f"{name}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        print(f"{name}: {len(rows)} rows, {sum(row['label'] for row in rows)} bad")
    return 0


# Injection…


def injection_train(folder: Path) -> Iterator[Row]:
    """Without what the validation sets have as well."""
    held = {plain(row["text"]) for name in ("labs", "neural") for row in FILES[f"injection-{name}"](folder)}
    found = [*labs(folder, "train"), *neural(folder, "train"), *wild(folder, held=False), *tasks(), *good(folder)]
    yield from (row for row in found if plain(row["text"]) not in held and row["source"] != f"neuralchemy/{RESEARCH}")


def plain(text: str) -> str:
    return " ".join(text.casefold().split())


def labs(folder: Path, split: str) -> Iterator[Row]:
    for row in table(folder / LABS.format(split)):
        yield told(row["text"], int(row["label"]), "s-labs", "MIT")


def neural(folder: Path, split: str) -> Iterator[Row]:
    import pyarrow.parquet  # noqa: PLC0415 - only this needs it

    for row in pyarrow.parquet.read_table(folder / NEURAL.format(split)).to_pylist():
        licence = "research only" if row["source"] == RESEARCH else "Apache-2.0"
        yield told(row["text"], row["label"], f"neuralchemy/{row['source']}", licence) | {"group": row["group_id"]}


def wild(folder: Path, *, held: bool) -> Iterator[Row]:
    """Every third is held out."""
    texts = loaded(folder / "injection/jailbreak_inthewild/inthewild_jailbreak_llms.json")
    for at, text in enumerate(texts):
        if (at % 3 == 0) is held:
            yield told(text, 1, "jailbreaks in the wild", "Apache-2.0")


def tasks() -> Iterator[Row]:
    yield from (told(text, 0, "requests written for this project", "Apache-2.0") for text in requests(BENIGN))


def good(folder: Path) -> Iterator[Row]:
    """Texts that nobody wrote as an attack: documents, questions, mails, records, tweets."""
    for file in sorted((folder / "groundedness/summedits").glob("*.json")):
        for text in sorted({row["doc"] for row in loaded(file)}):
            yield told(text, 0, "SummEdits documents", "Apache-2.0")
    for row in table(folder / "quality/truthfulqa/TruthfulQA.csv"):
        yield told(row["Question"], 0, "TruthfulQA questions", "Apache-2.0")
    for row in lines(folder / "injection/bipia/benchmark__email__train.jsonl"):
        yield told(row["context"], 0, "BIPIA mails", "MIT")
    for row in loaded(folder / "pii/presidio/generated_small.json"):
        yield told(row["full_text"], 0, "Presidio's generated texts", "MIT")
    tweets = list(table(folder / "toxicity/davidson/labeled_data.csv"))
    for row in random.Random(0).sample(tweets, 1_500):
        yield told(row["tweet"], 0, "Davidson's tweets", "MIT")


def mitre(folder: Path) -> Iterator[Row]:
    for row in loaded(folder / "injection/cyberseceval/mitre_frr.json"):
        yield told(row["mutated_prompt"], 0, "CyberSecEval false refusals", "MIT")


def attacks(folder: Path) -> Iterator[Row]:
    """Inputs that attack a system prompt, and the questions of people who do not."""
    for row in loaded(folder / "injection/cyberseceval/prompt_injection.json"):
        yield told(row["user_input"], 1, "CyberSecEval prompt injections", "MIT")
    yield from mitre(folder)


def unseen_wild(folder: Path) -> Iterator[Row]:
    yield from wild(folder, held=True)
    yield from mitre(folder)


# Toxicity…


def moderation(folder: Path) -> Iterator[Row]:
    file = folder / "toxicity/openai_moderation/samples-1680.jsonl.gz"
    for row in map(json.loads, gzip.decompress(file.read_bytes()).decode().splitlines()):
        bad = int(any(row.get(category) for category in CATEGORIES))
        yield told(row["prompt"], bad, "OpenAI moderation set", "MIT")


def toxicity_train(folder: Path) -> Iterator[Row]:
    """Tweets and test cases weigh less: there are more of them, and they are all of one kind."""
    yield from moderation(folder)
    yield from (row | {"weight": 0.1} for of in (davidson, hatecheck) for row in of(folder))


def davidson(folder: Path) -> Iterator[Row]:
    """Hate and offence against neither, as many of each as there is of hate."""
    tweets = list(table(folder / "toxicity/davidson/labeled_data.csv"))
    for kind in ("0", "1", "2"):
        chosen = random.Random(0).sample([row for row in tweets if row["class"] == kind], LIMIT)
        yield from (told(row["tweet"], int(kind != "2"), "Davidson's tweets", "MIT") for row in chosen)


def hatecheck(folder: Path) -> Iterator[Row]:
    for row in table(folder / "toxicity/hatecheck/test_suite_cases.csv"):
        bad = int(row["label_gold"] == "hateful")
        yield told(row["test_case"], bad, "HateCheck", "CC-BY-4.0") | {"group": f"template {row['templ_id']}"}


# Groundedness…


def summedits(folder: Path) -> Iterator[Row]:
    for file in sorted((folder / "groundedness/summedits").glob("*.json")):
        source = f"summedits/{file.stem.removeprefix('summedits_')}"
        rows = [judged(row["doc"], "", row["summary"], row["label"] != 1, source) for row in loaded(file)]
        yield from (row | {"licence": "Apache-2.0"} for row in sampled(rows))


def wice(folder: Path) -> Iterator[Row]:
    """Claims that are supported against those that are not, wholly or in part; whole evidence pages."""
    for file in sorted((folder / "groundedness/wice").glob("*.jsonl")):
        split = "dev" if "dev" in file.stem else "train"
        for row in lines(file):
            bad = row["label"] != "supported"
            found = judged(" ".join(row["evidence"]), "", row["claim"], bad, f"wice/{split}")
            yield found | {"licence": "ODC-BY annotations on CC-BY-SA text"}


def halueval(folder: Path, kind: str) -> Iterator[Row]:
    keys = {
        "qa": ("knowledge", "question", "right_answer", "hallucinated_answer"),
        "dialogue": ("knowledge", "dialogue_history", "right_response", "hallucinated_response"),
        "summarization": ("document", "", "right_summary", "hallucinated_summary"),
    }
    context, question, right, wrong = keys[kind]
    rows = []
    for file in sorted((folder / "groundedness/halueval").glob(f"*{kind}*.jsonl")):
        for row in random.Random(0).sample(list(lines(file)), LIMIT // 2):
            asked = row.get(question, "")
            for key, bad in ((right, False), (wrong, True)):
                rows.append(judged(row[context], asked, row[key], bad, f"halueval/{kind}"))
    licence = "MIT, of CC-BY-NC-4.0 dialogues" if kind == "dialogue" else "MIT"
    yield from (row | {"licence": licence} for row in rows)


def factcheck(folder: Path) -> Iterator[Row]:
    for row in lines(folder / "groundedness/factcheck_gpt/subtask3_claim_evidence_stance.jsonl"):
        if row["stance"] in {"completely-support", "refute", "irrelevant"}:
            bad = row["stance"] != "completely-support"
            found = judged(row["evidence"], "", row["claim"], bad, "factcheck_gpt")
            yield found | {"group": row["claim"], "licence": "Apache-2.0"}


def groundedness_train(folder: Path) -> Iterator[Row]:
    """Claims checked against a page, and summaries: what is given away under licences that allow it."""
    yield from (row for row in wice(folder) if row["source"] == "wice/train")
    yield from halueval(folder, "summarization")
    yield from sampled(list(factcheck(folder)))


# Rows…


def told(text: str, label: int, source: str, licence: str) -> Row:
    return {"text": text, "label": label, "source": source, "licence": licence}


def judged(context: str, question: str, answer: str, bad: bool, source: str) -> Row:
    return {"context": context, "question": question, "answer": answer, "label": int(bad), "source": source}


def sampled(rows: list[Row]) -> list[Row]:
    return random.Random(0).sample(rows, min(LIMIT, len(rows)))


def loaded(file: Path) -> Any:
    return json.loads(file.read_text())


def lines(file: Path) -> Iterator[Row]:
    return map(json.loads, file.read_text().splitlines())


def table(file: Path) -> Iterator[dict[str, str]]:
    with file.open(newline="") as stream:
        yield from csv.DictReader(stream)


FILES: dict[str, Callable[[Path], Iterable[Row]]] = {
    "injection-labs": lambda folder: labs(folder, "validation"),
    "injection-neural": lambda folder: neural(folder, "validation"),
    "injection-attacks": attacks,
    "injection-wild": unseen_wild,
    "injection-mitre": mitre,
    "injection-train": injection_train,
    "toxicity-moderation": moderation,
    "toxicity-train": toxicity_train,
    "toxicity-davidson": davidson,
    "toxicity-hatecheck": hatecheck,
    "groundedness-summedits": summedits,
    "groundedness-wice": lambda folder: (row for row in wice(folder) if row["source"] == "wice/dev"),
    "groundedness-dialogue": lambda folder: halueval(folder, "dialogue"),
    "groundedness-qa": lambda folder: halueval(folder, "qa"),
    "groundedness-train": groundedness_train,
}


if __name__ == "__main__":
    sys.exit(main())
