"""What the worker that keeps texts and feedback is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.app import events_path
from gateway.config.data import Data
from gateway.config.policy import PiiSpec
from gateway.config.schema import Config
from gateway.config.wording import near
from gateway.errors import ConfigError, Problem
from gateway.policy.entities import ENTITIES

_REASONS = {"guarded", "below", "above", "drifted", "feedback", "random"}


def file(config: Config, data: Data) -> Path:
    return (config.file.parent / data.file).resolve()


def spec(config: Config, data: Data) -> dict[str, Any]:
    """Personal data is what any policy's `pii` rail says; without one, what such a rail takes for it by itself.

    Raises `ConfigError` for entities there are not.
    """
    if wrong := [entity for entity in data.entities if entity not in ENTITIES]:
        said = [f"data.entities: {entity!r} is not known{near(entity, ENTITIES)}" for entity in wrong]
        raise ConfigError([Problem(str(config.file), 0, one) for one in said])
    rails = [rail for p in config.policies.values() for rail in (*p.input, *p.output) if isinstance(rail, PiiSpec)]
    rails = rails or [PiiSpec(kind="pii")]
    return {
        "file": str(file(config, data)),
        "events": events_path(config),
        "entities": sorted({*data.entities, *(entity for rail in rails for entity in rail.entities)}),
        "score": min(rail.score for rail in rails),
        "hold_s": data.hold_minutes * 60,
        "hold_bytes": int(data.hold_mb * 2**20),
        "days": data.days,
        "rows": data.rows,
        "bytes": int(data.mb * 2**20),
        "reasons": data.model_dump(include=_REASONS),
    }
