"""A copy of the policies is what lay there at one moment, and nothing else."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gateway.serve import files
from gateway.serve.files import TooMuch, below, copy, stamp


def written(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        file = folder / name.replace("_", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in below(folder)}


def test_everything_is_copied_but_what_begins_with_a_dot(tmp_path: Path) -> None:
    source = written(tmp_path / "policies", a="1", nemo_x_config="2")
    (source / ".git").mkdir()
    (source / ".git" / "huge").write_text("no")
    (source / ".a.swp").write_text("no")
    copy(source, tmp_path / "copy")
    assert contents(tmp_path / "copy") == {"a": "1", "nemo/x/config": "2"}
    assert not (tmp_path / "copy" / ".git").exists()


def test_links_are_followed_and_the_copy_has_none(tmp_path: Path) -> None:
    real = written(tmp_path / "real", a="1", sub_b="2")
    (tmp_path / "policies").symlink_to(real)
    (real / "c").symlink_to(real / "a")
    copy(tmp_path / "policies", tmp_path / "copy")
    assert contents(tmp_path / "copy") == {"a": "1", "sub/b": "2", "c": "1"}
    assert not any(path.is_symlink() for path in (tmp_path / "copy").rglob("*"))


def test_a_copy_is_never_of_two_sets(tmp_path: Path) -> None:
    """A link that is moved to the other set a thousand times, while copies are made of what it points to."""
    for name in ("x", "y"):
        written(tmp_path / name, **{f"f{n}": name for n in range(40)})
    link, stop = tmp_path / "policies", threading.Event()
    link.symlink_to(tmp_path / "x")

    def swap() -> None:
        for n in range(100_000):
            if stop.is_set():
                return
            (tmp_path / "next").symlink_to(tmp_path / "xy"[n % 2])
            (tmp_path / "next").replace(link)

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        for n in range(30):
            copy(link, tmp_path / f"copy{n}")
            found = contents(tmp_path / f"copy{n}")
            assert len(found) == 40
            assert len(set(found.values())) == 1
    finally:
        stop.set()
        swapping.join()


def test_a_stamp_tells_every_change(tmp_path: Path) -> None:
    source = written(tmp_path / "policies", a="1", b="2")
    seen = [stamp(below(source))]
    for change in (
        lambda: (source / "a").write_text("12"),
        (source / "b").unlink,
        lambda: (source / "a").rename(source / "c"),
        lambda: written(source, a="1"),
    ):
        change()
        seen.append(stamp(below(source)))
    assert len(set(seen)) == len(seen)
    assert stamp(below(source)) == seen[-1]


def test_a_folder_of_something_else_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = written(tmp_path / "policies", **{f"f{n}": "x" for n in range(12)})
    monkeypatch.setattr(files, "MOST_FILES", 10)
    with pytest.raises(TooMuch, match="give policies a folder of their own"):
        copy(source, tmp_path / "copy")
    monkeypatch.undo()
    monkeypatch.setattr(files, "MOST_BYTES", 11)
    with pytest.raises(TooMuch):
        copy(source, tmp_path / "copy")
