"""What an HTTP process is told: a configuration, whole and read already, and where the child processes answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson
from pydantic import SecretStr

from gateway.app import Wiring
from gateway.config.schema import Config

Json = Any


@dataclass(frozen=True, slots=True)
class Order:
    """Configuration number `generation`; workers' sockets by name, embedded models' base URLs by upstream."""

    generation: int
    config: Config
    sockets: Mapping[str, str]
    embedded: Mapping[str, str]

    @property
    def wiring(self) -> Wiring:
        return Wiring({name: Path(path) for name, path in self.sockets.items()}, self.embedded)

    def json(self) -> Json:
        """As JSON, with the keys of upstreams in it: for a child process, never for a file or a log."""
        config = orjson.dumps(self.config.model_dump(by_alias=True), default=_plain).decode()
        return {
            "generation": self.generation,
            "config": config,
            "sockets": dict(self.sockets),
            "embedded": dict(self.embedded),
        }

    @classmethod
    def read(cls, told: Json) -> Self:
        return cls(**{**told, "config": Config.model_validate_json(told["config"])})


def _plain(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
