"""NeMo Guardrails in a worker: native config folders, run by its `IORails` engine on the server's own loop.

Only text of ours goes in, one message at a time: the library lets a client's messages carry a `context` role that
switches rails off. A rail of its that breaks says "blocked"; here that is a fault. Start-up refuses what it would
only report by blocking, or by letting pass, every text.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import yaml

from gateway.errors import ConfigError, Problem, WorkerFault
from gateway.policy.normalise.view import Normaliser

Json = Any

CANARY = "hello"
_FIXED = {"regex check input", "regex check output", "injection detection"}  # flows that ask nobody
_AT_ONCE = 16  # texts of one call under way: rails that ask a model spend their time waiting


def prepare(spec: Json) -> dict[str, Any]:
    """Configurations by key of `{"configs": {key: {"folder", "stages"}}}`; `ConfigError` lists all that cannot run."""
    _quieten()
    problems: list[Problem] = []
    configs = {key: _config(one, problems) for key, one in spec["configs"].items()}
    if problems:
        raise ConfigError(problems)
    return configs


@asynccontextmanager
async def open(spec: Json, prepared: dict[str, Any]) -> AsyncIterator[Engine]:  # noqa: A001 - the harness's word
    from nemoguardrails import Guardrails  # noqa: PLC0415 - heavy, and only in this worker

    async with AsyncExitStack() as stack:
        rails = {}
        for key, config in prepared.items():
            rails[key] = Guardrails(config, require_iorails=True)
            await rails[key].startup()
            stack.push_async_callback(rails[key].shutdown)
        engine = Engine(rails, frozenset(key for key, config in prepared.items() if _fixed(config)))
        await _canary(engine, spec["configs"])
        yield engine


@dataclass(frozen=True, slots=True)
class Engine:
    rails: dict[str, Any]
    fixed: frozenset[str] = frozenset()  # keys of those that judge a text always alike
    normaliser: Normaliser = field(default_factory=Normaliser)

    async def call(self, method: str, payload: Json) -> Json:
        """`inspect` takes `{"config", "direction", "texts", "question"}`, gives `{"verdicts": [...], "keep"}`.

        `keep` says that the same texts will be judged alike. A verdict is `{"pass", "text", "rules", "fault"}`: `text`
        what a rail rewrote it to, else null; `rules` the flow that blocked; `fault` not empty where a rail broke. Input
        is judged as it stands, folded, and in each of its decoded runs; output as it stands, since that is what would
        run.
        """
        if method != "inspect":
            raise WorkerFault(f"nemo: no method {method!r}")
        places = asyncio.Semaphore(_AT_ONCE)
        texts = list(dict.fromkeys(payload["texts"]))
        async with asyncio.TaskGroup() as group:
            asked = {text: group.create_task(self._placed(places, payload, text)) for text in texts}
        keep = payload["direction"] == "input" and payload["config"] in self.fixed
        return {"verdicts": [asked[text].result() for text in payload["texts"]], "keep": keep}

    async def _placed(self, places: asyncio.Semaphore, payload: Json, text: str) -> Json:
        key, direction, question = payload["config"], payload["direction"], payload.get("question", "")
        async with places:
            verdict = await self.verdict(key, direction, text, question)
            for view in self.normaliser.views(text) if direction == "input" and verdict["pass"] else ():
                verdict = await self.verdict(key, direction, view.text)
                if not verdict["pass"]:
                    return verdict | {"text": None}  # what a disguise hides cannot be rewritten in it
            return verdict

    async def verdict(self, key: str, direction: str, text: str, question: str = "") -> Json:
        from nemoguardrails.rails.llm.options import RailType  # noqa: PLC0415 - heavy, and only in this worker

        messages = [{"role": "user", "content": text}]
        if direction == "output":
            messages = [{"role": "user", "content": question}, {"role": "assistant", "content": text}]
        if not text:
            return _json()
        try:
            result = await self.rails[key].check_async(messages, rail_types=[RailType(direction)])
        except Exception as error:  # noqa: BLE001 - whatever a rail raises; its message may quote the text
            return _json(fault=type(error).__name__)
        return _read(result)


def _fixed(config: Any) -> bool:
    return {*config.rails.input.flows, *config.rails.output.flows} <= _FIXED


def _read(result: Any) -> Json:
    from nemoguardrails.guardrails.iorails import REFUSAL_MESSAGE  # noqa: PLC0415 - as above

    match result.status.value:
        case "passed":
            return _json()
        case "modified":
            return _json(text=result.content, rule="rewritten")
        case "blocked" if result.content == REFUSAL_MESSAGE:
            return _json(rule=result.rail or "blocked")
        case _:
            return _json(fault=f"{result.rail or 'rail'} broke")


def _json(*, text: str | None = None, rule: str = "", fault: str = "") -> Json:
    return {"pass": not (rule or fault), "text": text, "rules": [rule] if rule else [], "fault": fault}


# Refusing to start…


def _config(one: Json, problems: list[Problem]) -> Any:
    from nemoguardrails import RailsConfig  # noqa: PLC0415 - as above
    from nemoguardrails.guardrails.iorails import IORails  # noqa: PLC0415 - as above

    folder = Path(one["folder"])
    try:
        config = RailsConfig.from_path(str(folder))
        reason = (
            _unread(folder)
            or _misspelt(folder, config)
            or IORails.unsupported_reason(config)
            or next(filter(None, (_idle(config, stage) for stage in one["stages"])), None)
        )
    except Exception as error:  # noqa: BLE001 - the library raises whatever its parsers do; nothing here is a client's
        config, reason = None, f"{type(error).__name__}: {error}"
    if reason:
        problems.append(Problem(str(folder / "config.yml"), 1, reason))
    return config


def _unread(folder: Path) -> str | None:
    """What the engine would silently not run."""
    ignored = sorted(f.name for f in folder.rglob("*") if f.suffix == ".co" or f.name in ("actions.py", "config.py"))
    if not ignored:
        return None
    return f"{', '.join(ignored)}: custom Colang and actions are not run; use the library's own flows in config.yml"


def _misspelt(folder: Path, config: Any) -> str | None:
    """Keys below `rails` that the library would read over."""
    for file in sorted((*folder.rglob("*.yml"), *folder.rglob("*.yaml"))):
        written = yaml.safe_load(file.read_text("utf-8")) or {}
        for path in _unknown(written.get("rails"), config.rails):
            return f"no option rails.{path} is known"
    return None


def _unknown(written: Any, model: Any) -> Iterator[str]:
    fields = getattr(type(model), "model_fields", None)
    if fields is None or not isinstance(written, dict):
        return
    names = {alias: name for name, field in fields.items() for alias in (name, field.alias) if alias}
    for key, value in written.items():
        if key not in names:
            yield key
        else:
            yield from (f"{key}.{path}" for path in _unknown(value, getattr(model, names[key])))


def _idle(config: Any, stage: str) -> str | None:
    """A stage that a policy uses and that would let everything pass."""
    flows, options = getattr(config.rails, stage).flows, config.rails.config
    if not flows:
        return f"rails.{stage}.flows is empty, and a policy has this folder judge {stage}"
    if f"regex check {stage}" in flows and not getattr(options.regex_detection, stage).patterns:
        return f"rails.config.regex_detection.{stage} has no patterns for its flow"
    if "injection detection" in flows and not (options.injection_detection and options.injection_detection.injections):
        return "rails.config.injection_detection names no injections for its flow"
    return None


async def _canary(engine: Engine, configs: Json) -> None:
    """A missing model shows only when asked, by blocking; rules that do not compile, by an error and letting pass."""
    problems = []
    for key, one in configs.items():
        for stage in one["stages"]:
            with _Listening() as heard:
                fault = (await engine.verdict(key, stage, CANARY))["fault"]
            said = "; ".join(dict.fromkeys(heard.said)) or fault
            if said:
                problems.append(
                    Problem(f"{one['folder']}/config.yml", 1, f"rails.{stage} cannot judge plain text: {said}")
                )
    if problems:
        raise ConfigError(problems)


class _Listening(logging.Handler):
    """Hears the library's errors while open."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())

    def __enter__(self) -> Self:
        logger = logging.getLogger("nemoguardrails")
        logger.addHandler(self)
        logger.setLevel(logging.ERROR)
        return self

    def __exit__(self, *_: object) -> None:
        logger = logging.getLogger("nemoguardrails")
        logger.removeHandler(self)
        logger.setLevel(logging.CRITICAL)


def _quieten() -> None:
    """No usage statistics, no model downloads, no log lines with a client's text; rules compiled once."""
    os.environ |= {"NEMO_GUARDRAILS_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
    from nemoguardrails import library  # noqa: PLC0415 - its import sets its loggers up

    actions: Any = import_module(".injection_detection.actions", library.__name__)
    logger = logging.getLogger("nemoguardrails")
    logger.setLevel(logging.CRITICAL)
    logger.propagate = False
    actions._load_rules = _once(actions._load_rules)  # noqa: SLF001 - 3 ms for every text otherwise


def _once(load: Any) -> Any:
    """`load` with what it compiled kept, by the rules' names and sources."""
    loaded: dict[Any, Any] = {}

    def kept(path: Path, names: tuple[str, ...], sources: dict[str, str] | None = None) -> Any:
        key = (path, names, tuple(sorted((sources or {}).items())))
        if key not in loaded:
            loaded[key] = load(path, names, sources)
        return loaded[key]

    return kept
