"""Guardrails AI in a worker: guards built from our own specs, each judging one text after the other.

The library's own configuration passes everything after a typo, and its telemetry is on unless told otherwise; this
loader refuses to start on a validator it does not know, and takes the exporter out before anything is built.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
import os
import pkgutil
import tempfile
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, get_args

from gateway.errors import ConfigError, Problem, WorkerFault
from gateway.policy.normalise.view import Normaliser

Json = Any

CANARY = "hello"  # what every guard judges before it is let near a request


def prepare(spec: Json) -> dict[str, Guard]:
    """Guards by key of `{"guards": {key: {"file", "folded", "remember", "validators"}}}`.

    A validator is `{"id", "on_fail", "args", "line"}`. Raises `ConfigError` with every one that is unknown or does not
    take its arguments.
    """
    _quieten()
    problems: list[Problem] = []
    guards = {key: _guard(one, problems) for key, one in spec["guards"].items()}
    if problems:
        raise ConfigError(problems)
    return guards


@asynccontextmanager
async def open(spec: Json, prepared: dict[str, Guard]) -> AsyncIterator[Engine]:  # noqa: A001 - the harness's word
    """Raises `ConfigError` where a guard cannot judge plain text: no gateway is better than one refusing all."""
    problems = [problem for key, one in spec["guards"].items() for problem in prepared[key].problems(one["file"])]
    if problems:
        raise ConfigError(problems)
    yield Engine(prepared)


@dataclass(frozen=True, slots=True)
class Guard:
    """The library's guard, and its validators with the line of the spec file each comes from.

    `folded` guards judge what a text reads once folded and decoded as well.
    """

    guard: Any
    validators: tuple[tuple[Any, int], ...]
    folded: bool
    remember: bool = False

    def problems(self, file: str) -> list[Problem]:
        found = [Problem(file, line, f"{v.rail_alias}: {said}") for v, line in self.validators if (said := _canary(v))]
        fault = _run(self, CANARY).fault
        return found or ([Problem(file, 1, f"the guard cannot judge plain text: {fault}")] if fault else [])


def _canary(validator: Any) -> str:
    try:
        validator.validate(CANARY, {})
    except Exception as error:  # noqa: BLE001 - validators are plugins, and this text is no client's
        return f"cannot judge plain text: {type(error).__name__}: {error}"
    return ""


@dataclass(frozen=True, slots=True)
class Engine:
    guards: dict[str, Guard]
    normaliser: Normaliser = field(default_factory=Normaliser)

    async def call(self, method: str, payload: Json) -> Json:
        """`inspect` takes `{"guard", "texts"}` and gives `{"verdicts": [{"pass", "text", "rules", "fault"}], "keep"}`.

        `keep` says that the same texts will be judged alike. `text` is what the validators would have instead, null
        where they have no fix that they then pass; `rules` are the ids that failed; `fault` is the exception that
        a validator raised, else empty.
        """
        if method != "inspect":
            raise WorkerFault(f"guardrails: no method {method!r}")
        verdicts: dict[str, Json] = {}
        for text in payload["texts"]:
            if text not in verdicts:
                verdicts[text] = self.judged(payload["guard"], text)
                await asyncio.sleep(0)  # other callers' texts, and the harness's own business, between two of ours
        keep = self.guards[payload["guard"]].remember
        return {"verdicts": [verdicts[text] for text in payload["texts"]], "keep": keep}

    def judged(self, key: str, text: str) -> Json:
        verdict = self.verdict(key, text)
        for view in self.normaliser.views(text) if self.guards[key].folded and verdict["pass"] else ():
            verdict = self.verdict(key, view.text)
            if not verdict["pass"]:
                return verdict | {"text": None}  # what a disguise hides cannot be fixed in it
        return verdict

    def verdict(self, key: str, text: str) -> Json:
        first = _run(self.guards[key], text)
        if not first.failed or first.fixed is None:
            return _json(first, None)
        again = _run(self.guards[key], first.fixed)
        return _json(first, None if again.failed or again.fault else first.fixed)


@dataclass(frozen=True, slots=True)
class _Outcome:
    failed: tuple[str, ...] = ()
    fixed: str | None = None
    fault: str = ""


def _json(outcome: _Outcome, text: str | None) -> Json:
    passed = not outcome.failed and not outcome.fault
    return {"pass": passed, "text": text, "rules": list(outcome.failed), "fault": outcome.fault}


def _run(guard: Guard, text: str) -> _Outcome:
    if not text:
        return _Outcome()  # the library fails an empty text whatever its validators say
    fault, answer = "", None
    try:
        answer = guard.guard.validate(text).validated_output
    except Exception as error:  # noqa: BLE001 - validators are plugins; only the name of what they raise may be told
        fault = type(error).__name__
    failures = _failures(guard.guard.history.last)
    guard.guard.history.clear()  # it holds the text
    return _outcome(guard, failures, answer, fault)


def _failures(call: Any) -> list[Any]:
    logs = call.iterations.last.validator_logs if call is not None and call.iterations else []
    return [log for log in logs if type(log.validation_result).__name__ == "FailResult"]


def _outcome(guard: Guard, logs: list[Any], answer: Any, fault: str) -> _Outcome:
    fixers = {id(v) for v, _ in guard.validators if v.on_fail_descriptor == "fix"}
    failed = tuple(dict.fromkeys(log.registered_name for log in logs))
    fixes = [log.validation_result.fix_value for log in logs if log.instance_id in fixers]
    if any(not isinstance(fix, str) for fix in fixes):
        return _Outcome(failed)  # no fix to offer; what the next validator made of None is no fault of its own
    if fault or not failed:
        return _Outcome(failed, None, fault)
    return _Outcome(failed, answer if len(fixes) == len(logs) and isinstance(answer, str) else None)


# Building guards…


def _guard(one: Json, problems: list[Problem]) -> Guard:
    import guardrails  # noqa: PLC0415 - heavy, and only in this worker

    validators = []
    for spec in one["validators"]:
        line = spec.get("line", 1)
        try:
            validators.append((_validator(spec), line))
        except _Refused as refused:
            problems.append(Problem(one["file"], line, f"{spec['id']}: {refused}"))
    guard = guardrails.Guard(name=one["file"], history_max_length=1)
    guard = guard.use(*(v for v, _ in validators))  # a second `use` would replace the first
    return Guard(guard, tuple(validators), one.get("folded", False), one.get("remember", False))


class _Refused(Exception):
    pass


def _validator(spec: Json) -> Any:
    cls, args = _class(spec["id"]), spec.get("args") or {}
    takes = _signature(cls)
    try:
        takes.bind(**args)
        _check_numbers(takes, args)
        return cls(**args, on_fail=spec.get("on_fail", "noop"))
    except Exception as error:
        raise _Refused(f"cannot be built with these arguments: {error}; it takes {takes}") from error


def _check_numbers(takes: inspect.Signature, args: dict[str, Any]) -> None:
    """The library reads what is no number as no limit."""
    for name, value in args.items():
        kinds = {
            str(kind) for kind in get_args(takes.parameters[name].annotation) or [takes.parameters[name].annotation]
        }
        if kinds & {"<class 'int'>", "<class 'float'>"} and not isinstance(value, int | float):
            raise TypeError(f"{name} is not a number")


def _signature(cls: type) -> inspect.Signature:
    """What `cls` takes beside `on_fail`; nothing where it leaves the base class's catch-all constructor as it is."""
    from guardrails import Validator  # noqa: PLC0415 - as above

    if inspect.getattr_static(cls, "__init__") is Validator.__init__:
        return inspect.Signature()
    return inspect.Signature([p for p in inspect.signature(cls).parameters.values() if p.name != "on_fail"])


def _class(id_: str) -> type:
    if id_.startswith("python:"):
        return _own(id_)
    from guardrails.validator_base import validators_registry  # noqa: PLC0415 - as above

    module = f"guardrails_ai.{id_.rpartition('/')[2]}"
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        why = _near(id_) if error.name == module else f"; its package needs {error.name}"
        raise _Refused(f"no such validator is installed{why}") from error
    if id_ not in validators_registry:
        raise _Refused(f"no such validator is installed{_near(id_)}")
    return validators_registry[id_]  # type: ignore[no-any-return] # the library is untyped


def _own(id_: str) -> type:
    """`python:module:Class`, an operator's own validator."""
    from guardrails import Validator  # noqa: PLC0415 - as above

    module, _, name = id_.removeprefix("python:").partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise _Refused(f"cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Validator)):
        raise _Refused("is not a Guardrails AI validator class")
    return found


def _near(id_: str) -> str:
    import guardrails_ai  # noqa: PLC0415 - as above

    known = [f"guardrails/{m.name}" for m in pkgutil.iter_modules(guardrails_ai.__path__) if m.name != "types"]
    near = get_close_matches(id_, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(known))}"


def _quieten() -> None:
    """No telemetry, no traces with text in them, no look-ups, no log lines with the text that failed."""
    os.environ |= {
        "GUARDRAILS_RUN_SYNC": "true",  # else every call tries for an event loop of its own, and swaps its policy
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "HF_HUB_OFFLINE": "1",
    }
    from guardrails.classes.rc import RC  # noqa: PLC0415 - as above
    from guardrails.settings import settings  # noqa: PLC0415 - as above
    from guardrails.utils.hub_telemetry_utils import HubTelemetry  # noqa: PLC0415 - as above

    off = RC.from_dict({"enable_metrics": False, "use_remote_inferencing": False})
    RC.load = classmethod(lambda _cls, _logger=None: off)  # a Guard reads it anew, whatever the settings say
    settings.rc = off
    settings.disable_tracing = True
    HubTelemetry.initialize_tracer = lambda _self, *_, **__: None  # else: an exporter to the vendor, and its thread
    if os.access("/dev/shm", os.W_OK):  # noqa: S108 - `secrets_present` writes each text to a file: to memory, then
        tempfile.tempdir = "/dev/shm"  # noqa: S108 - as above
    for name in ("guardrails", "guardrails-ai", "guardrails-cli"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"guardrails")
