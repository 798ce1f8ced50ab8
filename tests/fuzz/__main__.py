"""Coverage-guided fuzzing: `python -m fuzz SECONDS [TARGET…]`, each target in a process of its own, in turn.

What is found is written to `.cache/fuzz-found/` and ends the run with 1. The corpus that stands beside this file is
read and never written; inputs with new coverage are kept in `--keep FOLDER`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
FOUND = Path(".cache/fuzz-found")
WORDS = Path(__file__).with_name("words.dict")
ONE = [sys.executable, "-m", "fuzz.one"]
LONGEST = 4096  # bytes of an input
SLOWEST_S = 5  # an input that takes longer is a finding


def main() -> int:
    given = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    given.add_argument("seconds", type=int)
    given.add_argument("targets", nargs="*")
    given.add_argument("--keep", type=Path)
    said = given.parse_args()
    targets = said.targets or sorted(folder.name for folder in CORPUS.iterdir())
    found = [target for target in targets if _run(target, said.seconds, said.keep) != 0]
    end = f"found by {', '.join(found)}" if found else "clean"
    sys.stdout.write(f"{len(targets)} targets, {said.seconds} s each: {end}\n")
    return 1 if found else 0


def _run(target: str, seconds: int, keep: Path | None) -> int:
    """Fuzz one target in a process of its own: one that crashes leaves the others."""
    FOUND.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as fresh:
        new = keep / target if keep else Path(fresh)
        new.mkdir(parents=True, exist_ok=True)
        options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-timeout={SLOWEST_S}", "-print_final_stats=1"]
        options += ["-rss_limit_mb=2048", f"-dict={WORDS}", f"-artifact_prefix={FOUND}/{target}-"]
        return subprocess.run([*ONE, target, *options, str(new), str(CORPUS / target)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
