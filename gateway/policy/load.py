"""From policy files to policies: rails built, deadlines and modes resolved, each policy known by its digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from gateway.config.policy import AnyRail, GuardrailsSpec, NemoSpec, PolicySpec, SchemaSpec, ToolsSpec
from gateway.policy.policy import Bound, Policy
from gateway.policy.rail import Tools
from gateway.policy.rails import RAILS


def policies(specs: Mapping[str, PolicySpec], folder: Path, tools: Tools) -> dict[str, Policy]:
    """Every policy by name. Raises `ConfigError` where a rail cannot be built."""
    return {name: _policy(spec, folder, tools) for name, spec in specs.items()}


def _policy(spec: PolicySpec, folder: Path, tools: Tools) -> Policy:
    tools = replace(tools, folder=folder, policy=spec.name)
    known_by = digest(spec, folder)
    return Policy(
        spec.name,
        known_by,
        spec,
        tuple(_bound(rail, spec, tools, f"{known_by}/input/{n}") for n, rail in enumerate(spec.input)),
        tuple(_bound(rail, spec, tools, f"{known_by}/output/{n}") for n, rail in enumerate(spec.output)),
    )


def _bound(rail: AnyRail, policy: PolicySpec, tools: Tools, mark: str) -> Bound:
    deadline_s = (rail.deadline_ms or policy.deadline_ms) / 1000
    built = RAILS[rail.kind](rail, replace(tools, deadline_s=deadline_s))
    on_error, enforced = rail.on_error or policy.on_error, policy.mode == "enforce"
    return Bound(built, deadline_s, on_error, enforced, rail.action == "flag", mark)


def digest(spec: PolicySpec, folder: Path) -> str:
    """What tells one state of a policy from another: its file and all that it refers to, in 16 hex digits."""
    said = sha256(spec.model_dump_json().encode())
    known = [folder / name for name in (spec.known.prompts, spec.known.attacks) if name]
    for files in (known, *(_files(rail, folder) for rail in (*spec.input, *spec.output))):
        for file in files:
            said.update(str(file.relative_to(folder)).encode() + b"\0" + file.read_bytes())
    return said.hexdigest()[:16]


def _files(rail: AnyRail, folder: Path) -> list[Path]:
    match rail:
        case NemoSpec():
            return sorted(file for file in (folder / rail.config).rglob("*") if file.is_file())
        case GuardrailsSpec():
            return [folder / rail.spec]
        case SchemaSpec():
            return [folder / rail.file] if rail.file else []
        case ToolsSpec():
            return [folder / rule.file for rule in rail.arguments.values() if rule.file]
        case _:
            return []
