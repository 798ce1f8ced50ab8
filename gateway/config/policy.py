"""The schema of a policy file: what operators write in `policies/*.yaml`. Frozen; unknown keys are refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr


class Frozen(BaseModel):
    """Every configured thing: immutable, strict in its types, with no room for a misspelt key."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


ActionWord = Literal["flag", "redact", "block"]
OnError = Literal["closed", "open"]


class RailSpec(Frozen):
    """What every rail takes."""

    name: str | None = None
    action: ActionWord = "block"
    on_error: OnError | None = None  # None: as the policy says
    deadline_ms: Annotated[int, Field(gt=0, le=600_000)] | None = None


class PatternSpec(RailSpec):
    """Regular expressions in RE2 syntax (linear time), and packs of them by name."""

    kind: Literal["pattern"]
    deny: tuple[str, ...] = ()
    builtin: tuple[str, ...] = ()
    ignore_case: bool = False


class PiiSpec(RailSpec):
    """Personal data by Presidio's recognisers. `restore` gives the client its own values back in the answer."""

    kind: Literal["pii"]
    action: ActionWord = "redact"
    entities: tuple[str, ...] = ("EMAIL_ADDRESS", "CREDIT_CARD", "US_SSN", "PHONE_NUMBER", "IBAN_CODE")
    restore: bool = False
    score: Annotated[float, Field(ge=0, le=1)] = 0.4


class GuardrailsSpec(RailSpec):
    """Guardrails AI validators, listed in a spec file beside the policy."""

    kind: Literal["guardrails"]
    spec: str
    unit: Literal["sentence", "answer"] = "sentence"


class NemoSpec(RailSpec):
    """A native NeMo Guardrails folder beside the policy."""

    kind: Literal["nemo"]
    config: str
    unit: Literal["sentence", "answer"] = "sentence"


Metric = Literal[
    "groundedness",
    "relevance",
    "hallucination",
    "consistency",
    "verified",
    "toxicity",
    "injection",
    "novelty",
    "attack",
]
REQUESTS: frozenset[str] = frozenset({"toxicity", "injection", "novelty", "attack"})
"""Metrics of what a request says; the others are of answers."""


class ScoreSpec(RailSpec):
    """A threshold on one of the scorer's scores, `below` or `above` which it acts."""

    kind: Literal["score"]
    metric: Metric
    below: Annotated[float, Field(ge=0, le=1)] | None = None
    above: Annotated[float, Field(ge=0, le=1)] | None = None
    unit: Literal["sentence", "answer"] = "answer"
    action: ActionWord = "flag"


class KnownSpec(Frozen):
    """Files beside the policy of texts that are known, one a line: usual prompts, and attacks."""

    prompts: str | None = None
    attacks: str | None = None


class SchemaSpec(RailSpec):
    """A JSON Schema, here or in a file beside the policy, that answers must match."""

    kind: Literal["schema"]
    action: Literal["flag", "block"] = "block"
    json_schema: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    file: str | None = None
    strip_fences: bool = False  # judge what is inside a Markdown fence around the whole answer


class ArgumentsSpec(Frozen):
    """What a tool may be called with: a JSON Schema, here or in a file; expressions that no argument may match."""

    json_schema: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    file: str | None = None
    deny: dict[str, tuple[str, ...]] = Field(default_factory=dict)  # by argument; `*` for all


class ToolsSpec(RailSpec):
    """Which tools may be defined and called, `*` standing for any characters, and with what."""

    kind: Literal["tools"]
    action: Literal["flag", "block"] = "block"
    allow: tuple[str, ...] | None = None  # None: all that are not denied
    deny: tuple[str, ...] = ()
    arguments: dict[str, ArgumentsSpec] = Field(default_factory=dict)  # by tool


class LeakageSpec(RailSpec):
    """The system prompt must not come out: neither a marker that stands in it, nor its words in a row."""

    kind: Literal["leakage"]
    canary: str | None = None
    words: Annotated[int, Field(ge=0, le=1000)] = 12  # this many in a row are a leak; 0: any number may be repeated


class WebhookSpec(RailSpec):
    """An operator's own HTTP service decides; `flag` notes what it says and does nothing."""

    kind: Literal["webhook"]
    action: Literal["flag", "block"] = "block"
    url: Annotated[str, Field(pattern=r"^https?://")]
    secret: SecretStr | None = None  # signs requests; may be `${NAME}` of the environment, alone in a policy
    unit: Literal["sentence", "answer"] = "sentence"


class TopicsSpec(RailSpec):
    """What a conversation may be about: examples and words by topic. Examples need the gateway's `scoring`."""

    kind: Literal["topics"]
    action: Literal["flag", "block"] = "block"
    deny: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    allow: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    keywords: dict[str, tuple[str, ...]] = Field(default_factory=dict)  # denied as well
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.3  # cosine; a higher one catches less and is right more often
    unit: Literal["sentence", "answer"] = "answer"


AnyRail = Annotated[
    PatternSpec
    | PiiSpec
    | GuardrailsSpec
    | NemoSpec
    | ScoreSpec
    | SchemaSpec
    | ToolsSpec
    | LeakageSpec
    | WebhookSpec
    | TopicsSpec,
    Field(discriminator="kind"),
]


class Refusal(Frozen):
    """The error that a blocked exchange ends with: its text, and its HTTP status where the answer has not begun."""

    message: str | None = None
    status: Annotated[int, Field(ge=400, le=499)] = 400


def _worded(refusal: Any) -> Any:
    """A text alone is the message."""
    return {"message": refusal} if isinstance(refusal, str) else refusal


class PolicySpec(Frozen):
    """One policy file."""

    name: str
    mode: Literal["enforce", "shadow"] = "enforce"
    on_error: OnError = "closed"
    deadline_ms: Annotated[int, Field(gt=0, le=600_000)] = 1500
    refusal: Annotated[Refusal, BeforeValidator(_worded)] = Refusal()
    overlap: bool = False  # ask the upstream while rails that take their time still judge the request
    context: tuple[Literal["documents", "system", "tool", "user"], ...] = ("documents", "tool")
    """Which parts of a request an answer is scored against, as its evidence."""
    known: KnownSpec = KnownSpec()
    """What questions are held against, for the scores `novelty` and `attack`."""
    input: tuple[AnyRail, ...] = ()
    output: tuple[AnyRail, ...] = ()


def one_key(rail: Any) -> Any:
    """`{pattern: {…}}`, as written, to `{kind: pattern, …}`, as validated; anything else is left for the schema."""
    if isinstance(rail, dict) and len(rail) == 1:
        ((kind, body),) = rail.items()
        if isinstance(body, dict) and "kind" not in body:
            return {"kind": kind, **body}
    return rail
