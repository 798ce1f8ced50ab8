"""What a data set says of itself: a card to read and a manifest for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from gateway.data.dataset import Part, Unique
from gateway.data.examples import Example, Format


@dataclass(frozen=True, slots=True)
class Made:
    """A data set, and how it was made. `left` counts exchanges that are not in it, by why; `note` is the operator's."""

    form: Format
    parts: Mapping[Part, Sequence[Example]]
    unique: Unique
    left: Mapping[str, int]
    balance: str
    source: str
    now: float
    note: str = ""

    @property
    def all(self) -> list[Example]:
        return [one for part in self.parts.values() for one in part]


def write(made: Made, folder: Path) -> Mapping[str, Any]:
    """Write the parts that have something in them, the card and the manifest, which is given back.

    Files are for their owner's eyes only, like what they come from. Raises `OSError`.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    files: dict[str, str] = {}
    for part, found in made.parts.items():
        file = folder / f"{part}.jsonl"
        file.unlink(missing_ok=True)
        if found:
            raw = b"".join(one.line + b"\n" for one in found)
            _own(file, raw)
            files[file.name] = sha256(raw).hexdigest()
    manifest = _manifest(made, files)
    _own(folder / "README.md", _card(made, manifest).encode())
    _own(folder / "manifest.json", orjson.dumps(manifest, option=orjson.OPT_INDENT_2) + b"\n")
    return manifest


def _own(file: Path, raw: bytes) -> None:
    file.touch(mode=0o600)
    file.chmod(0o600)
    file.write_bytes(raw)


def _manifest(made: Made, files: Mapping[str, str]) -> dict[str, Any]:
    """`digest` is that of the parts' digests: the same for the same data."""
    whole = sha256("".join(f"{name} {digest}\n" for name, digest in sorted(files.items())).encode()).hexdigest()
    return {
        "format": made.form,
        "rows": sum(len(part) for part in made.parts.values()),
        "parts": {part: len(found) for part, found in made.parts.items() if found},
        "digest": f"sha256:{whole}",
        "files": dict(files),
        "created": _moment(made.now),
        "source": made.source,
    }


def _card(made: Made, manifest: Mapping[str, Any]) -> str:
    found = made.all
    reasons = Counter(reason for one in found for reason in one.reasons)
    between = f"{_moment(min(o.at for o in found))} to {_moment(max(o.at for o in found))}" if found else "never"
    labels, routes = Counter(o.label for o in found), Counter(o.route for o in found)
    unique = made.unique
    return "\n".join(
        [
            f"# Exchanges as `{made.form}`",
            "",
            f"Made by `tidegate export` from {made.source} at {manifest['created']}.",
            "",
            f"- digest: `{manifest['digest']}`",
            *(f"- {part}: {len(rows):,} rows" for part, rows in made.parts.items()),
            f"- asked between: {between}",
            f"- labels: {_counts(labels)}",
            f"- routes: {_counts(routes)}",
            f"- kept because: {_counts(reasons)} (an exchange may have several reasons: this is no random sample)",
            f"- left out: {_counts(made.left)}",
            (
                f"- duplicates taken out: {unique.same:,} the same, {unique.near:,} nearly;"
                f" {unique.known:,} that a golden set has"
            ),
            f"- balanced by: {made.balance or 'nothing'}",
            "- parts: by conversation; what began alike is in one part",
            "",
            "## Personal data",
            "",
            (
                "Before anything was stored, recognisers of the `pii` rail put placeholders such as `[EMAIL_ADDRESS]`"
                " where they found personal data. They do not find all of it (names, for one): look before you share."
            ),
            "",
            "## Licence and consent",
            "",
            made.note
            or "Nobody has said yet under which terms these texts may be used. They were written by the gateway's users"
            " and by models: check both sides' terms, the provider's on training with its outputs included.",
            "",
        ]
    )


def _counts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{name or '-'} {number:,}" for name, number in sorted(found.items()) if number) or "none"


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
