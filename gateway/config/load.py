"""From the files an operator edits to one frozen `Config`, or to every problem they have. Nothing else reads them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from gateway.config import links, wording
from gateway.config.document import Document, Place, mappings, read
from gateway.config.environment import filled, with_secrets
from gateway.config.policy import PolicySpec, one_key
from gateway.config.schema import Config, GatewayFile
from gateway.config.there import is_folder
from gateway.errors import ConfigError, Problem

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen instead of where the file says: what stands on the command line."""

    host: str | None = None
    port: int | None = None


def load(
    file: Path,
    environ: Mapping[str, str],
    listen: Listen | None = None,
    copied: Callable[[Path], Path] | None = None,
) -> Config:
    """Read `file` and the policies it names. Relative paths in it are relative to it.

    `copied` gives another folder to read the policies' from: a copy that nobody edits.
    Raises `ConfigError` with all problems of all files, in the order of files and lines.
    """
    gateway = filled(_mapping(file), environ)
    folder = _folder(gateway, file)
    if copied and is_folder(folder):
        folder = copied(folder)
    _place(gateway, file.parent)
    policies = [with_secrets(_mapping(path), environ) for path in _files(gateway, folder)]
    settings = _validated(gateway, GatewayFile, _with_kinds(gateway.value))
    specs = [_validated(policy, PolicySpec, _with_kinds(policy.value)) for policy in policies]
    _link(gateway, policies, folder)
    if listen:
        _listen(gateway, listen)
        settings = _validated(gateway, GatewayFile, _with_kinds(gateway.value))
    _refuse([gateway, *policies])
    if settings is None or None in specs:
        raise AssertionError("a refused document has problems")
    return Config(file=file, gateway=settings, policies={s.name: s for s in specs if s}, folder=folder)


def problem(config: Config, policy: str, place: Place, message: str) -> Problem:
    """What is wrong at `place` of a policy that was loaded, found by those who build its rails."""
    documents = (read(file) for file in sorted(config.folder.glob("*.yaml")))
    named = (d for d in documents if isinstance(d.value, dict) and d.value.get("name") == policy)
    document = next(named, Document(str(config.folder)))
    document.refuse(place, message)
    return document.problems[-1]


def _mapping(file: Path) -> Document:
    document = read(file)
    if not isinstance(document.value, dict):
        if not document.problems:
            document.refuse((), "should be a mapping of keys to values")
        document.value = None
    return document


def _validated(document: Document, schema: type[Model], value: Any) -> Model | None:
    if value is None:
        return None
    try:
        return schema.model_validate(value)
    except ValidationError as found:
        wording.refuse(document, found, schema)
        return None


def _with_kinds(value: Any) -> Any:
    """A file with its rails and exports as the schema has them: `{kind: pattern, …}`."""
    if not isinstance(value, dict):
        return value
    stages = {key: value[key] for key in ("input", "output", "export") if isinstance(value.get(key), tuple)}
    return {**value, **{key: tuple(map(one_key, rails)) for key, rails in stages.items()}}


def _link(gateway: Document, policies: Sequence[Document], folder: Path) -> None:
    whole = [policy for policy in policies if policy.value is not None]
    scored = gateway.value is None or gateway.value.get("scoring", {}) is not None
    links.check_names(whole)
    for policy in whole:
        links.check_policy(policy, folder, scored=scored)
    if gateway.value is not None and len(whole) == len(policies):
        links.check_gateway(gateway, whole)
    elif gateway.value is not None:
        links.check_gateway(gateway, [*whole, *_guessed(policies)])


def _guessed(policies: Sequence[Document]) -> list[Document]:
    """Stand-ins for policies that could not be read: what refers to them is not one more problem."""
    return [Document(p.file, {"name": Path(p.file).stem}) for p in policies if p.value is None]


def _refuse(documents: Sequence[Document]) -> None:
    problems: list[Problem] = []
    for document in documents:
        problems += sorted(dict.fromkeys(document.problems), key=lambda problem: problem.line)
    if problems:
        raise ConfigError(problems)


def _folder(gateway: Document, file: Path) -> Path:
    said = gateway.value.get("policies") if gateway.value else None
    return _beside(file.parent, said if isinstance(said, str) else "../policies")


def _files(gateway: Document, folder: Path) -> list[Path]:
    """Every `*.yaml` directly in the policies' folder."""
    if gateway.value is None:
        return []
    hidden = ("policies",) in gateway.hidden
    if not is_folder(folder):
        gateway.refuse(("policies",), "no such folder" if hidden else f"no folder {folder}")
        return []
    for path in sorted(folder.glob("*.yml")):
        told = path.name if hidden else path
        gateway.refuse(("policies",), f"{told} is not read as a policy; name it {path.stem}.yaml")
    return sorted(path for path in folder.glob("*.yaml") if not path.name.startswith("."))


def _listen(gateway: Document, listen: Listen) -> None:
    """Put in what the command line says, in a file that was whole without it."""
    if gateway.value is None or not isinstance(gateway.value.setdefault("server", {}), dict):
        return
    said = {"host": listen.host, "port": listen.port}
    gateway.value["server"] |= {key: each for key, each in said.items() if each is not None}
    links.check_open(gateway)


def _place(gateway: Document, folder: Path) -> None:
    """Make paths in the file independent of where a process runs."""
    value = gateway.value
    if value is None:
        return
    _resolve(value.get("events"), "path", folder, bare=True)
    if isinstance(server := value.get("server"), dict):
        _resolve(server.get("tls"), "certificate", folder, bare=True)
        _resolve(server.get("tls"), "key", folder, bare=True)
    _resolve(value.get("scoring"), "encoder", folder)
    for key in ("state", "golden"):
        _resolve(value.get("monitor"), key, folder, bare=True)
    _resolve(value.get("data"), "file", folder, bare=True)
    for _, export in mappings(value.get("export")):
        for section in export.values():
            for key in ("state", "dir"):
                _resolve(section, key, folder, bare=True)
    for _, upstream in mappings(value.get("upstreams")):
        if upstream.get("kind") == "embedded":
            _resolve(upstream, "model", folder)


def _resolve(section: Any, key: str, folder: Path, *, bare: bool = False) -> None:
    """Make an absolute path of `section[key]`, which is relative to `folder`.

    A word without a slash is a name (`minilm`) and stays as it is, unless `bare` says that it is a path too.
    """
    said = section.get(key) if isinstance(section, dict) else None
    if isinstance(said, str) and said not in {"", "-"} and (bare or "/" in said or said.endswith(".gguf")):
        section[key] = str(_beside(folder.absolute(), said))


def _beside(folder: Path, path: str) -> Path:
    return Path(os.path.normpath(folder / path))
