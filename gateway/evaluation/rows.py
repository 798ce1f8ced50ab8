"""Labelled rows from JSONL, JSON or CSV, whoever wrote them: names of columns and ways to say yes are recognised."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.errors import ConfigError, Problem

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".ndjson")
CONTEXT = (
    "context",
    "contexts",
    "document",
    "documents",
    "doc",
    "evidence",
    "knowledge",
    "source_text",
    "premise",
    "passages",
)
QUESTION = ("question", "query", "instruction", "user_input", "dialogue_history", "message")
ANSWER = ("answer", "response", "output", "summary", "claim", "hypothesis", "completion", "generated_text")
TEXT = ("text", "prompt", "content", "input", "message", "tweet", "test_case", "mutated_prompt")
LABEL = (
    "label",
    "labels",
    "is_hallucination",
    "hallucination",
    "hallucinated",
    "is_malicious",
    "is_injection",
    "toxic",
)
GROUP = ("group", "group_id", "document_id", "doc_id", "source_id", "context_id", "templ_id")
BAD = frozenset(
    """
    1 true yes bad unsafe hallucinated hallucination hallucinating unsupported not_supported partially_supported
    not_enough_info not_attributable not_fully_attributable partially-supported not-supported refuted refutes
    refute contradiction contradictory contradicted inconsistent incorrect wrong fail failed ungrounded
    unfaithful not_entailment not_entailed nei neutral injection jailbreak attack malicious toxic hateful hate
    offensive positive generic cherry-picking evident_conflict
    """.split()  # noqa: SIM905 - a list literal is as many pairs of quotes
)
GOOD = frozenset(
    """
    0 false no good safe grounded supported supports support consistent correct right pass passed faithful
    entailment entailed fully_attributable attributable benign legitimate normal clean non-hateful non_hateful
    nontoxic non-toxic neither negative
    """.split()  # noqa: SIM905 - a list literal is as many pairs of quotes
)


@dataclass(frozen=True, slots=True)
class Row:
    """A labelled example: an answer with its context, or a text on its own, which is then the answer.

    `group` is what must not be split: rows of one source document. `where` is `file:line`.
    """

    answer: str
    bad: bool
    context: tuple[str, ...] = ()
    question: str = ""
    group: str = ""
    source: str = ""
    licence: str = ""
    weight: float = 1.0
    where: str = ""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What labels mean where it is not obvious: labels in `bad` are bad, all others are not; None: by their words."""

    bad: frozenset[str] | None = None

    def __call__(self, label: Any) -> bool:
        """Raises `ValueError` for what says neither."""
        word = said(label)
        if self.bad is not None:
            return word in self.bad
        if word in BAD:
            return True
        if word in GOOD:
            return False
        raise ValueError(
            f"label {str(label)[:40]!r} is neither good nor bad as far as is known; name the bad ones: --bad LABEL"
        )


def said(label: Any) -> str:
    """A label as a word: `True`, `1.0` and `Not supported` are `true`, `1` and `not_supported`; a list, whether any."""
    if isinstance(label, (list, dict)):
        return "1" if label else "0"
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    word = str(label).strip().casefold().replace(" ", "_")
    return word.removesuffix(".0") if word.removesuffix(".0").isdecimal() else word


@dataclass(slots=True)
class _Reading:
    meaning: Meaning
    contexts: bool
    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


MOST_PROBLEMS = 20


def read(paths: Iterable[Path], *, contexts: bool, meaning: Meaning = Meaning()) -> list[Row]:
    """All rows of files, and of the files in folders, in order. With `contexts`, rows must have one.

    Raises `ConfigError` with up to `MOST_PROBLEMS` problems, `file:line: what`, for rows that cannot be read; a label
    that is empty or null is one.
    """
    reading = _Reading(meaning, contexts)
    for file in _files(paths):
        for line, raw in _raw(file, reading):
            _add(reading, file, line, raw)
        if len(reading.problems) >= MOST_PROBLEMS:
            break
    if reading.problems:
        raise ConfigError(reading.problems[:MOST_PROBLEMS])
    if not reading.rows:
        raise ConfigError([Problem(", ".join(map(str, paths)) or "--data", 1, "no rows")])
    return reading.rows


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if _format(file) in SUFFIXES)
            if not found:
                raise ConfigError([Problem(str(path), 1, f"no file in this folder ends in {', '.join(SUFFIXES)}")])
            yield from found
        else:
            yield path


def _format(file: Path) -> str:
    return Path(file.name.removesuffix(".gz")).suffix.lower()


def _raw(file: Path, reading: _Reading) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Line numbers and rows. What is no row becomes a problem."""
    try:
        data = file.read_bytes()
        text = (gzip.decompress(data) if file.suffix == ".gz" else data).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        reading.problems.append(Problem(str(file), 1, f"cannot be read: {getattr(error, 'strerror', None) or error}"))
        return
    match _format(file):
        case ".csv" | ".tsv" as kind:
            yield from _table(text, "\t" if kind == ".tsv" else ",")
        case ".json" if text.lstrip().startswith("["):
            yield from _list(file, text, reading)
        case ".json" | ".jsonl" | ".ndjson":
            yield from _lines(file, text, reading)
        case other:
            reading.problems.append(
                Problem(str(file), 1, f"{other or 'no suffix'}: only {', '.join(SUFFIXES)} are read")
            )


def _table(text: str, separator: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    for row in rows:
        yield rows.line_num, row


def _list(file: Path, text: str, reading: _Reading) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        yield from enumerate(json.loads(text), 1)
    except ValueError as error:
        reading.problems.append(Problem(str(file), getattr(error, "lineno", 1), f"not JSON: {error}"))


def _lines(file: Path, text: str, reading: _Reading) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except ValueError as error:
            reading.problems.append(Problem(str(file), number, f"not JSON: {error}"))


def _add(reading: _Reading, file: Path, line: int, raw: Any) -> None:
    try:
        if not isinstance(raw, Mapping):
            raise ValueError("a row is an object with text and a label")  # noqa: TRY004, TRY301 - told with the others
        reading.rows.append(_row(raw, reading, f"{file}:{line}", file.stem))
    except ValueError as error:
        reading.problems.append(Problem(str(file), line, str(error)))


def _row(raw: Mapping[str, Any], reading: _Reading, where: str, stem: str) -> Row:
    label = _first(raw, LABEL)
    if label is None or label == "":
        raise ValueError(f"no label: one of {', '.join(LABEL)}")
    context = _texts(_first(raw, CONTEXT)) if reading.contexts else ()
    answer = _text(_first(raw, ANSWER if reading.contexts else (*TEXT, *ANSWER)))
    if reading.contexts and not context:
        raise ValueError(f"no context: one of {', '.join(CONTEXT)}")
    if answer is None:
        raise ValueError(f"no text to judge: one of {', '.join(ANSWER if reading.contexts else TEXT)}")
    group = _first(raw, GROUP)
    return Row(
        answer=answer,
        bad=reading.meaning(label),
        context=context,
        question=_text(_first(raw, QUESTION)) or "" if reading.contexts else "",
        group="" if group is None else str(group),
        source=str(raw.get("source") or stem) if isinstance(raw.get("source", ""), str) else stem,
        licence=str(raw.get("licence") or raw.get("license") or ""),
        weight=_number(raw.get("weight", 1)),
        where=where,
    )


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"weight {str(value)[:40]!r} is no number") from None


def _first(raw: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((raw[name] for name in names if raw.get(name) is not None), None)


def _text(value: Any) -> str | None:
    """A string as it is; messages and lists of strings, one after another."""
    if value is None or isinstance(value, str):
        return value
    return "\n".join(_texts(value))


def _texts(value: Any) -> tuple[str, ...]:
    """A string, strings, or objects with one: what is said in them."""
    match value:
        case None:
            return ()
        case str():
            return (value,) if value.strip() else ()
        case list():
            return tuple(text for one in value for text in _texts(one))
        case {"text": str(text)} | {"content": str(text)} | {"page_content": str(text)}:
            return (text,) if text.strip() else ()
        case dict():
            return (json.dumps(value, ensure_ascii=False),)
        case _:
            return (str(value),)
