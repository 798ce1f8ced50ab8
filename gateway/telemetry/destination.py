"""What a worker is told of one destination: JSON in, frozen types out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Answerer:
    """Who stands behind an upstream, as OpenTelemetry names providers, and where."""

    provider: str
    address: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class Destination:
    """`urls` has one for every signal that is sent: `traces`, `metrics`, `logs`, `scores`. Times are seconds.

    `kind` is the vendor's name, or `otlp`; `extra` what its score calls need.
    """

    name: str
    kind: str
    events: Path
    state: Path
    urls: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    resource: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)
    upstreams: Mapping[str, Answerer] = field(default_factory=dict)
    semconv: str = "current"
    content: bool = False
    sample: float = 1.0
    gzip: bool = True
    batch: int = 256
    keep_s: float = 3600.0
    behind: int = 256 * 1024 * 1024
    look_s: float = 1.0
    deadline_s: float = 10.0
    wait_s: float = 1.0
    metrics_s: float = 60.0

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Self:
        upstreams = {name: Answerer(**one) for name, one in told.get("upstreams", {}).items()}
        return cls(**{**told, "events": Path(told["events"]), "state": Path(told["state"]), "upstreams": upstreams})
