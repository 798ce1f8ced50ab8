"""The tools rail: which tools a request may define and a model may call, and what it may call them with.

Names are judged with the text around them. Where a policy has rules for arguments, answers are judged whole: a call is
its name and all of its arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from gateway.config.policy import ArgumentsSpec, PatternSpec, ToolsSpec
from gateway.errors import ConfigError, Problem
from gateway.policy.rail import Subject, Tools, Unit
from gateway.policy.rails import pattern, shape
from gateway.policy.rails.calls import calls, defined, named
from gateway.policy.rails.pattern import PatternRail
from gateway.policy.rails.shape import Broken, Shape
from gateway.policy.verdict import ALLOW, Action, Finding, Verdict

ANY = "*"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}")  # what APIs let a tool be called, and namespaces

Json = Any


@dataclass(frozen=True, slots=True)
class Globs:
    """Names with `*` for any characters."""

    expressions: tuple[re.Pattern[str], ...]

    @classmethod
    def of(cls, globs: Iterable[str], flags: re.RegexFlag = re.NOFLAG) -> Globs:
        return cls(tuple(re.compile(_expression(glob), flags) for glob in globs))

    def match(self, name: str) -> bool:
        return any(expression.fullmatch(name) for expression in self.expressions)


def _expression(glob: str) -> str:
    """Possessive up to the last `*`, so that no name is tried twice at the same place."""
    first, *rest = (re.escape(part) for part in glob.split(ANY))
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(f"(?>.*?{part})" for part in middle) + f".*{last}"


@dataclass(frozen=True, slots=True)
class Rule:
    """What calls of the tools that `glob` names must keep to; `denied` by argument, `*` for all of them."""

    glob: str
    tools: Globs
    shape: Shape | None
    denied: Mapping[str, PatternRail]

    def broken(self, text: str) -> Iterator[str]:
        """What arguments, as the model wrote them, break: the schema's keyword, or `deny.<argument>`."""
        try:
            value = shape.value(text)
            if self.shape:
                self.shape.check(value)
        except Broken as broken:
            if self.shape or broken.rule != "json":
                yield f"{self.glob}.{broken.rule}"
                return
            value = text  # of a tool that takes text, or that some reader may understand all the same
        yield from (f"{self.glob}.deny.{name}" for name, rail in self.denied.items() if _found(rail, name, value))


def _found(rail: PatternRail, argument: str, value: Json) -> bool:
    inner = value.get(argument) if isinstance(value, dict) and argument != ANY else value
    return any(rail.judged(text) is not ALLOW for text in _texts(inner))


def _texts(value: Json) -> Iterator[str]:
    """Every text in a value, names and numbers included."""
    match value:
        case None:
            return
        case str():
            yield value
        case dict():
            for key, inner in value.items():
                yield key
                yield from _texts(inner)
        case list():
            for inner in value:
                yield from _texts(inner)
        case bool():
            yield "true" if value else "false"
        case _:
            yield str(value)


@dataclass(frozen=True, slots=True)
class ToolsRail:
    channels: ClassVar[frozenset[str]] = frozenset({"arguments", "field", "tool"})
    name: str
    action: Action
    allow: Globs | None
    deny: Globs
    rules: tuple[Rule, ...]
    unit: Unit

    async def inspect(self, subject: Subject) -> Sequence[Verdict]:
        said = [self._named(p.text) if defined(p) or named(p) else ALLOW for p in subject.passages]
        for call in calls(subject.passages) if self.rules else ():
            said[call.place] = self._called(call.names, subject.passages[call.place].text)
        return said

    def _named(self, name: str) -> Verdict:
        if _NAME.fullmatch(name) is None:
            return self._verdict(["name"])
        if self.deny.match(name):
            return self._verdict(["denied"])
        return self._verdict(["not_allowed"] if self.allow and not self.allow.match(name) else [])

    def _called(self, names: Sequence[str], text: str) -> Verdict:
        if not names:
            return self._verdict(["unnamed"])
        rules = [rule for rule in self.rules if any(rule.tools.match(name) for name in names)]
        return self._verdict([broken for rule in rules for broken in rule.broken(text)])

    def _verdict(self, broken: Sequence[str]) -> Verdict:
        return Verdict(self.action, frozenset(Finding(self.name, rule) for rule in broken)) if broken else ALLOW


def build(spec: ToolsSpec, tools: Tools) -> ToolsRail:
    """Raises `ConfigError` for schemas and expressions that cannot be used."""
    if spec.allow is None and not spec.deny and not spec.arguments:
        raise ConfigError([Problem("", 1, "forbids nothing: give it `allow`, `deny` or `arguments`")])
    return ToolsRail(
        name=spec.name or "tools",
        action=Action[spec.action.upper()],
        allow=None if spec.allow is None else Globs.of(spec.allow),
        deny=Globs.of(spec.deny, re.IGNORECASE),
        rules=tuple(_rule(glob, one, tools) for glob, one in spec.arguments.items()),
        unit=Unit.ANSWER if spec.arguments else Unit.SENTENCE,
    )


def _rule(glob: str, spec: ArgumentsSpec, tools: Tools) -> Rule:
    shaped = not spec.deny or spec.json_schema is not None or spec.file is not None
    try:
        return Rule(
            glob,
            Globs.of([glob], re.IGNORECASE),
            shape.given(spec.json_schema, spec.file, tools.folder) if shaped else None,
            {argument: _denied(argument, deny, tools) for argument, deny in spec.deny.items()},
        )
    except ConfigError as refused:
        raise ConfigError([_within(f"arguments.{glob}", problem) for problem in refused.problems]) from None


def _denied(argument: str, deny: Sequence[str], tools: Tools) -> PatternRail:
    try:
        return pattern.build(PatternSpec(kind="pattern", deny=tuple(deny)), tools)
    except ConfigError as refused:
        problems = [Problem("", 1, f"deny.{argument}: {problem.message}") for problem in refused.problems]
        raise ConfigError(problems) from None


def _within(place: str, problem: Problem) -> Problem:
    """`problem` at its `place` in the policy, unless it is in a file of its own."""
    return problem if problem.file else Problem("", 1, f"{place}.{problem.message}")
