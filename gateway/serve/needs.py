"""The child processes that a configuration needs, and a mark by which one that runs already is known to do."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from gateway.app import PANEL, events_path
from gateway.config.policy import NemoSpec, PolicySpec
from gateway.config.schema import Config, EmbeddedSpec, Scoring
from gateway.data.handover import NAME as DATA
from gateway.policy.rails import guardrails_ai, nemo, pii
from gateway.serve import exporting, keeping, watching
from gateway.upstream import litellm
from gateway.worker.supervisor import Host


@dataclass(frozen=True, slots=True)
class Worker:
    """An engine and its spec (see `gateway.worker`); `mark` is the same for the same, wherever its files lie."""

    name: str
    engine: str
    spec: Any
    mark: str
    folder: Path  # of the policies


@dataclass(frozen=True, slots=True)
class Model:
    """An embedded model."""

    spec: EmbeddedSpec
    mark: str

    @property
    def name(self) -> str:
        return self.spec.name


Need = Worker | Model


def workers(config: Config) -> list[Worker]:
    """Raises `ConfigError` for a guard spec that cannot be read."""
    policies = list(config.policies.values())
    specs: dict[str, tuple[str, Any]] = {
        "guardrails": ("gateway.policy.engines.guardrails_ai", guardrails_ai.spec(policies, config.folder)),
        "nemo": ("gateway.policy.engines.nemo", nemo.spec(policies, config.folder)),
        "pii": ("gateway.policy.engines.pii", pii.spec(policies, config.folder)),
        "litellm": ("gateway.upstream.engine", litellm.spec(config.gateway.upstreams)),
        "scorer": _scoring(config),
    }
    return [
        Worker(name, engine, spec, _mark(config, name, engine, spec), config.folder)
        for name, (engine, spec) in specs.items()
        if spec is not None
    ]


def needs(config: Config) -> list[Need]:
    """Workers and embedded models. Raises `ConfigError`."""
    specs = [spec for spec in config.gateway.upstreams if isinstance(spec, EmbeddedSpec)]
    models = [Model(spec, sha256(f"model {spec.model_dump_json()}".encode()).hexdigest()) for spec in specs]
    return [*workers(config), *_monitor(config), *_exports(config), *_panel(config), *_data(config), *models]


def _monitor(config: Config) -> list[Worker]:
    """Of a gateway that serves: whoever only tries policies leaves what is watched alone."""
    spec = watching.spec(config)
    if spec is None:
        return []
    mark = _mark(config, watching.NAME, watching.ENGINE, spec)
    return [Worker(watching.NAME, watching.ENGINE, spec, mark, config.folder)]


def _panel(config: Config) -> list[Worker]:
    """Of a gateway that serves, where its page is wanted."""
    monitor = config.gateway.monitor
    if config.gateway.ui is None:
        return []
    state = str(watching.state(config, monitor)) if monitor else None
    spec = {"events": events_path(config), "state": state}
    engine = "gateway.panel.engine"
    return [Worker(PANEL, engine, spec, _mark(config, PANEL, engine, spec), config.folder)]


def _data(config: Config) -> list[Worker]:
    """Of a gateway that serves, where it keeps texts and feedback. Raises `ConfigError`."""
    data = config.gateway.data
    if data is None:
        return []
    spec = keeping.spec(config, data)
    return [Worker(DATA, "gateway.data.engine", spec, _mark(config, DATA, "gateway.data.engine", spec), config.folder)]


def _exports(config: Config) -> list[Worker]:
    """As with the monitor: whoever only tries policies sends nothing."""
    return [
        Worker(name, engine, spec, _mark(config, name, engine, spec), config.folder)
        for name, spec in exporting.specs(config).items()
        for engine in [exporting.ENGINES[name]]
    ]


def hosts(config: Config, folder: Path) -> list[Host]:
    """The workers of `config`, with sockets in `folder`. Raises `ConfigError`."""
    return [Host(worker.name, worker.engine, worker.spec, folder / worker.name) for worker in workers(config)]


def _scoring(config: Config) -> tuple[str, Any]:
    """The scorer's engine and spec: on this machine, or who hands on to the replicas of others."""
    scoring, own = config.gateway.scoring, scorer(config)
    if scoring is None or own is None or scoring.ray is None:
        return "gateway.scoring.engine", own and {**own, **_watched(config)}
    token = scoring.token.get_secret_value() if scoring.token else ""
    return "gateway.upstream.replicas", {"url": scoring.ray, "token": token, "watched": None, **_watched(config)}


def scorer(config: Config) -> Any:
    """What the scorer's engine is told, wherever it runs; None where there is no scoring."""
    scoring = config.gateway.scoring
    if scoring is None:
        return None
    banks = {name: files for name, policy in config.policies.items() if (files := _known(policy, config.folder))}
    return {"encoder": scoring.encoder, **({"banks": banks} if banks else {}), **_second(scoring)}


def _watched(config: Config) -> dict[str, Any]:
    """Where the scorer leaves vectors for the monitor."""
    spool, monitor = watching.spool(config), config.gateway.monitor
    if spool is None or monitor is None:
        return {}
    return {"watched": {"path": str(spool), "words": monitor.drift.words == "shared"}}


def _second(scoring: Scoring) -> dict[str, str]:
    told = {"verifier": scoring.verifier, "verifier_label": scoring.verifier_label}
    return {name: value for name, value in told.items() if value}


def _known(policy: PolicySpec, folder: Path) -> dict[str, dict[str, str]]:
    """The files of texts that a policy knows, by kind; with their digests, so that a changed one makes a new mark."""
    found = {kind: folder / name for kind, name in policy.known.model_dump().items() if name}
    return {k: {"path": str(file), "sha256": sha256(file.read_bytes()).hexdigest()} for k, file in found.items()}


def _mark(config: Config, name: str, engine: str, spec: Any) -> str:
    """What the worker is told, wherever the policies lie, and the files that it reads by itself."""
    said = orjson.dumps([name, engine, spec]).replace(str(config.folder).encode(), b"")
    read = sha256(said)
    for folder in _folders(config) if name == "nemo" else ():
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            read.update(str(file.relative_to(config.folder)).encode() + b"\0" + file.read_bytes())
    return read.hexdigest()


def _folders(config: Config) -> list[Path]:
    rails = [rail for policy in config.policies.values() for rail in (*policy.input, *policy.output)]
    return sorted({config.folder / rail.config for rail in rails if isinstance(rail, NemoSpec)})
