"""Tests of policies, as operators write them in `policies/tests/*.yaml`: texts, and what must become of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from gateway.config import wording
from gateway.config.document import Document, read
from gateway.config.policy import Frozen
from gateway.config.schema import Config
from gateway.errors import ConfigError

Stage = Literal["input", "output"]


class Case(Frozen):
    """One text: the user's (`input`) or the model's (`output`). `messages` are the request, where more than it matters.

    `by` names the rail that decides; `becomes` is the text as it is passed on.
    """

    text: str | None = None
    messages: tuple[dict[str, Any], ...] = ()
    verdict: Literal["allow", "flag", "redact", "block"]
    by: str | None = None
    becomes: str | None = None

    @model_validator(mode="after")
    def _of_something(self) -> Self:
        if self.text is None and not self.messages:
            raise ValueError("gives nothing to judge: give it `text` or `messages`")
        if self.becomes is not None and self.verdict == "block":
            raise ValueError("what is blocked becomes nothing: leave out `becomes`")
        return self


class CaseFile(Frozen):
    """One file of tests: of one stage of one policy."""

    policy: str
    stage: Stage
    cases: Annotated[tuple[Case, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Placed:
    """A case, and where it stands."""

    file: str
    line: int
    policy: str
    stage: Stage
    case: Case


Rails = Callable[[str, Stage], Sequence[str]]
"""Names of the rails of a policy's stage."""


def cases(config: Config, rails: Rails) -> list[Placed]:
    """All that are below the policies' `tests`, in order. Raises `ConfigError` for what is no test or of no policy."""
    documents = [read(file) for file in sorted((config.folder / "tests").glob("*.yaml"))]
    found = [case for document in documents for case in _cases(document, config, rails)]
    problems = [problem for document in documents for problem in document.problems]
    if problems:
        raise ConfigError(problems)
    return found


def _cases(document: Document, config: Config, rails: Rails) -> Iterator[Placed]:
    if document.value is None:
        return
    try:
        file = CaseFile.model_validate(document.value)
    except ValidationError as found:
        wording.refuse(document, found, CaseFile)
        return
    if file.policy not in config.policies:
        document.refuse(("policy",), f"no policy named {file.policy!r}{wording.near(file.policy, config.policies)}")
        return
    known = rails(file.policy, file.stage)
    for n, case in enumerate(file.cases):
        _check(document, n, case, file.stage, known)
        yield Placed(document.file, document.line(("cases", n)), file.policy, file.stage, case)


def _check(document: Document, n: int, case: Case, stage: Stage, known: Sequence[str]) -> None:
    if case.by is not None and case.by not in known:
        near = wording.near(case.by, known) or f" (there are: {wording.listed(known)})"
        document.refuse(("cases", n, "by"), f"no {stage} rail named {case.by!r}{near}")
    if stage == "output" and case.text is None:
        document.refuse(("cases", n), "an answer is judged: give it `text`")
