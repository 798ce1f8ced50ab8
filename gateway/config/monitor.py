"""The schema of `monitor:` in `config/gateway.yaml`: what is watched, and what is to be done about it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from gateway.config.policy import Frozen

Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class DriftSpec(Frozen):
    """Windows against the reference. A window has `window` rows; it is checked whenever `every` more have come.

    `span_s` is the least time that `every` rows are sampled from. `reference` is how many rows are learned where there
    is no reference. It is drift when `confirm` checks in a row say so, each with a false alarm at a rate of `alpha`; it
    is over after `clear` that do not. `words: shared` has topics named by words that five exchanges share; `none`
    keeps no word of any text.
    """

    window: Annotated[int, Field(ge=100, le=5000)] = 1000
    every: Annotated[int, Field(ge=50, le=5000)] = 250
    span_s: Annotated[float, Field(ge=0)] = 60.0
    reference: Annotated[int, Field(ge=100, le=10_000)] = 1750
    alpha: Annotated[float, Field(ge=0.005, le=0.2)] = 0.01
    confirm: Count = 2
    clear: Count = 2
    words: Literal["none", "shared"] = "none"


class SignalSpec(Frozen):
    """What every signal takes: looks in a row that raise and that clear it, the least time between two, what to do."""

    confirm: Count = 1
    clear: Count = 2
    cooldown_s: Annotated[float, Field(ge=0)] = 3600.0
    action: str = ""
    run: str = ""


class AccuracySignal(SignalSpec):
    """Accuracy fell by more than `drop`. `baseline` left out: that of the first 500 labels."""

    drop: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    baseline: Share | None = None
    action: str = "Investigate what changed, then retrain on corrected answers."
    run: str = "tidegate drift report"


class TopicsSignal(SignalSpec):
    """Topics that the reference hardly has make up `share` of the prompts."""

    share: Share = 0.05
    action: str = "Collect exchanges of the new topic, label them, fine-tune."
    run: str = "tidegate drift report"


class ComplaintsSignal(SignalSpec):
    """Complaints come `rise` times as often as usual, `least` of them. `baseline` left out: of 500 exchanges."""

    rise: Annotated[float, Field(gt=1)] = 2.0
    least: Count = 5
    baseline: Share | None = None
    action: str = "Review the exchanges that were complained of; improve the prompt, the policy or the model."
    run: str = "tidegate tail --where event=feedback.received --no-follow"


class DriftSignal(SignalSpec):
    """Some stream drifts."""

    action: str = "Look at what drifted, and decide: take the window as the new reference, collect data, or wait."
    run: str = "tidegate drift report"


class Signals(Frozen):
    """The four. `null` switches one off."""

    accuracy: AccuracySignal | None = AccuracySignal()
    topics: TopicsSignal | None = TopicsSignal()
    complaints: ComplaintsSignal | None = ComplaintsSignal()
    drift: DriftSignal | None = DriftSignal()


class SignalHook(Frozen):
    """Where signals are posted to: up to `tries` times, `wait_s` apart and then twice that, each within `deadline_s`.

    With a `secret` the body is signed: `x-tidegate-signature: sha256=<HMAC-SHA256 of the body, in hexadecimal>`.
    """

    url: Annotated[str, Field(pattern=r"^https?://")]
    secret: SecretStr | None = None
    token: SecretStr | None = None
    tries: Annotated[int, Field(ge=1, le=20)] = 6
    wait_s: Seconds = 1.0
    deadline_s: Seconds = 10.0


class Monitor(Frozen):
    """Watching. `state` is a folder for references and counts; `routes` left out: all of them, together.

    `golden` is a folder with the results of `tidegate eval`, one JSON file a run.
    """

    state: str = "../var/monitor"
    look_s: Seconds = 10.0
    routes: tuple[str, ...] = ()
    golden: str | None = None
    drift: DriftSpec = DriftSpec()
    signals: Signals = Signals()
    webhook: SignalHook | None = None
