"""Clients' keys in a configuration: made, taken away, shown. What else stands in the file stays as it is."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import yaml
from pydantic import ValidationError

from gateway.config.schema import Key

Entry = Mapping[str, Any]


class Unchanged(Exception):
    """The file cannot be changed as asked, and was not. Says why."""


def made(name: str, more: Entry | None = None, token: Callable[[int], str] = token_urlsafe) -> tuple[str, Entry]:
    """A new key of 256 random bits, and its entry for `keys`. Raises `Unchanged` for what no entry may say."""
    key = f"tg-{token(32)}"
    entry = {"name": name, "sha256": sha256(key.encode()).hexdigest(), **(more or {})}
    try:
        Key.model_validate(_frozen(entry))
    except ValidationError as found:
        first = found.errors(include_url=False)[0]
        raise Unchanged(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    return key, entry


def listed(text: str) -> list[Entry]:
    """The entries that stand in a configuration."""
    return [entry for entry in _keys(text) if isinstance(entry, dict)]


def added(text: str, entry: Entry) -> str:
    """`text` with one entry more. Raises `Unchanged`."""
    if any(other.get("name") == entry["name"] for other in listed(text)):
        raise Unchanged(f"there is a key named {entry['name']!r} already")
    node = _node(text)
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    if node is None:
        lines += ["\nkeys:\n", *_block(entry, 2)]
    elif not isinstance(node, yaml.SequenceNode) or not node.value:
        _replace(lines, node, "\n" + "".join(_block(entry, 2)).rstrip("\n"))
    elif node.flow_style:
        raise Unchanged("write `keys` as a list with one `- ` a key")
    else:
        at = _last_line(node.value[-1]) + 1
        lines[at:at] = _block(entry, node.start_mark.column)
    return _checked(text, "".join(lines), [*_keys(text), dict(entry)])


def removed(text: str, name: str) -> str:
    """`text` without the entry of `name`. Raises `Unchanged`; also for the last one: the gateway would be open then."""
    keys = _keys(text)
    at = next((n for n, entry in enumerate(keys) if isinstance(entry, dict) and entry.get("name") == name), None)
    node = _node(text)
    if at is None or not isinstance(node, yaml.SequenceNode):
        raise Unchanged(f"there is no key named {name!r}")
    if len(keys) == 1:
        raise Unchanged(f"{name!r} is the only key: without it anybody could use the gateway; make another one first")
    if node.flow_style:
        raise Unchanged("write `keys` as a list with one `- ` a key")
    lines = text.splitlines(keepends=True)
    first, last = node.value[at].start_mark.line, _last_line(node.value[at])
    while not lines[first].lstrip().startswith("-"):
        first -= 1
    del lines[first : last + 1]
    return _checked(text, "".join(lines), keys[:at] + keys[at + 1 :])


def write(file: Path, text: str) -> None:
    """Put `text` in the place of what `file` has, at once: whoever reads sees the one or the other."""
    file = file.resolve()
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(handle)
            os.fchmod(handle, file.stat().st_mode & 0o7777)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _keys(text: str) -> list[Any]:
    keys = (_read(text) or {}).get("keys")
    return list(keys) if isinstance(keys, list) else []


def _read(text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise Unchanged(f"line {line}: not YAML") from None
    if value is not None and not isinstance(value, dict):
        raise Unchanged("not a mapping of keys to values")
    return value


def _node(text: str) -> yaml.Node | None:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    pairs = root.value if isinstance(root, yaml.MappingNode) else ()
    return next((value for key, value in pairs if key.value == "keys"), None)


def _replace(lines: list[str], node: yaml.Node, text: str) -> None:
    """Put `text` where an empty `keys` has nothing, `null` or `[]`."""
    start, end = node.start_mark, node.end_mark
    if start.line != end.line:
        raise Unchanged("write `keys` as a list with one `- ` a key")
    line = lines[start.line]
    lines[start.line] = line[: start.column].rstrip() + text + line[end.column :]


def _last_line(node: yaml.Node) -> int:
    """Where the last word of a node stands; a block's own end is where the next thing begins, comments and all."""
    if isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        inner = node.value[-1]
        return _last_line(inner[1] if isinstance(inner, tuple) else inner)
    return int(node.end_mark.line) if node.end_mark.column else max(int(node.start_mark.line), node.end_mark.line - 1)


def _block(entry: Entry, indent: int) -> list[str]:
    said = yaml.safe_dump([dict(entry)], sort_keys=False, allow_unicode=True)
    return [f"{' ' * indent}{line}" for line in said.splitlines(keepends=True)]


def _checked(before: str, after: str, keys: list[Any]) -> str:
    """`after`, if it says what `before` does but for the keys."""
    wanted = {**(_read(before) or {}), "keys": keys}
    if _read(after) != wanted:
        raise Unchanged("the file is written in a way that cannot be edited here; change its `keys` by hand")
    return after


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _frozen(each) for key, each in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
