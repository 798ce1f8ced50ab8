"""`tidegate init`: writes the starter configuration, which is the one this project is developed and tested with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import typer

import gateway

_FOLDERS = ("config", "policies")


def source() -> Path:
    """The folder that holds the starter's `config/` and `policies/`: packed with the modules, or the checkout."""
    package = Path(gateway.__file__).parent
    packed = package / "starter"
    return packed if packed.is_dir() else package.parent


def write(folder: Path) -> int:
    """Copy the starter to `folder`; the exit code. Writes nothing at all if any of its files is there already."""
    files = dict(_files(source()))
    taken = [name for name in files if (folder / name).exists()]
    if taken:
        typer.echo(f"{folder / taken[0]} is there already ({len(taken)} such files); nothing was written", err=True)
        return 1
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("xb") as file:
            file.write(content)
    typer.echo(f"Wrote {len(files)} files to {folder}. Next:\n")
    typer.echo(f"  cd {folder}\n  tidegate check config/gateway.yaml\n  tidegate serve --config config/gateway.yaml\n")
    return 0


def _files(root: Path) -> Iterator[tuple[Path, bytes]]:
    for folder in _FOLDERS:
        for file in sorted((root / folder).rglob("*")):
            name = file.relative_to(root)
            if file.is_file() and not any(part.startswith((".", "__")) for part in name.parts):
                yield name, file.read_bytes()
