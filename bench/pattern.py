"""What the pattern rail costs: a 4 kB text at once, a chunk of a stream, a hostile text; and how much it holds.

python bench/pattern.py [--rounds 30] [FILE …]

Every pack that ships, on the texts below or on the first 4096 characters of each FILE. Times are CPU time, the best of
the rounds; a chunk is what one model token brings, four characters. `held` is the mean number of characters that wait
after a chunk.
"""

from __future__ import annotations

import argparse
import base64
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from gateway.config.policy import PatternSpec
from gateway.policy.rail import Tools
from gateway.policy.rails.packs import PACKS
from gateway.policy.rails.pattern import PatternRail, build

SIZE = 4096
CHUNK = 4
HOSTILE = 65536

ENGLISH = (
    "A gateway stands between an application and the models it asks. It reads what is asked and what is answered, "
    "and it decides which of it may pass: some texts are refused, some are rewritten, most go on as they came. "
    "Because an answer is written word by word, the reader should not wait for its end; what can still become "
    "something forbidden is kept back for a moment, and everything else is handed on at once.\n\n"
)
CODE = """async def relayed(self, chunks):
    async with aclosing(chunks):
        while (chunk := await self._next(chunks)):
            if out := self._fed(chunk):
                yield out  # b'data: {"id": "x"}'
    return {key: value[0] for key, value in found.items()}
"""
GERMAN = "Größe, Übermaß und „Zurückhaltung“ – das klärt sich später; für 5 % heißt es: weiß man’s? "
CHINESE = "网关位于应用程序与其所调用的模型之间。它读取请求和回答，并决定哪些内容可以通过。"
LINKS = "See https://example.org/a/b?c=d#e and [this](http://example.net/x_y) or mail a.b@example.org, key sk-x. "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=30)
    asked = parser.parse_args()
    rail = build(PatternSpec(kind="pattern", builtin=tuple(PACKS), action="redact"), Tools({}))
    print(f"{len(rail.rules)} rules, {len(rail.lens.dfa.nfa.to)} states; built in {ms(rebuilt, 3):.0f} ms")
    print(f"{'text':<14}{'at once, µs':>12}{'a chunk, µs':>13}{'all at once, streamed, µs':>27}{'held':>7}")
    given = {file.name[:13]: file.read_text("utf-8")[:SIZE] for file in asked.files}
    for name, text in (given or texts()).items():
        whole = 1000 * ms(partial(rail.judged, text), asked.rounds)
        streamed = 1000 * ms(partial(follow, rail, text, CHUNK), asked.rounds) / (len(text) / CHUNK)
        once = 1000 * ms(partial(follow, rail, text, len(text)), asked.rounds)
        print(f"{name:<14}{whole:>12.0f}{streamed:>13.1f}{once:>27.0f}{held(rail, text):>7.2f}")
    hostile(asked.rounds)


def texts() -> dict[str, str]:
    noise = random.Random(0).randbytes(SIZE)
    found = {"English": ENGLISH, "code": CODE, "German": GERMAN, "Chinese": CHINESE, "links": LINKS}
    return {name: (text * SIZE)[:SIZE] for name, text in found.items()} | {
        "base64 of text": base64.b64encode((ENGLISH * SIZE)[:SIZE].encode()).decode()[:SIZE],
        "base64 noise": base64.b64encode(noise).decode()[:SIZE],
    }


def hostile(rounds: int) -> None:
    expressions = (r"[\w.+-]+@[\w-]+\.[\w.-]+", "^(a+)+$", "(?:a|aa)+b", "foo.{0,1000}bar")
    rail = build(PatternSpec(kind="pattern", deny=expressions, builtin=tuple(PACKS)), Tools({}))
    print(f"\n{HOSTILE // 1024} KiB made to be slow{'at once, ms':>20}{'streamed, µs a chunk':>23}")
    for seed in ("a", "aA1@", "foo", "![](//", "-----BEGIN ", "c2st", "%73", "’"):
        text = (seed * HOSTILE)[:HOSTILE]
        once = ms(partial(rail.judged, text), max(1, rounds // 10))
        chunk = 1000 * ms(partial(follow, rail, text, CHUNK), 1) / (len(text) / CHUNK)
        print(f"{seed!r:<21}{once:>20.1f}{chunk:>23.1f}")


def rebuilt() -> None:
    build(PatternSpec(kind="pattern", builtin=tuple(PACKS)), Tools({}))


def follow(rail: PatternRail, text: str, size: int) -> None:
    """As the window does it: feed, cut, take."""
    watch = rail.scanner()
    for start in range(0, len(text), size):
        watch.feed(text[start : start + size])
        watch.take(watch.cut(min(start + size, len(text))))
    watch.finish()
    watch.take(watch.cut(len(text)))


def held(rail: PatternRail, text: str) -> float:
    watch = rail.scanner()
    ends = [min(start + CHUNK, len(text)) for start in range(0, len(text), CHUNK)]
    waiting = [end - watch.feed(text[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    return sum(waiting) / len(waiting)


def ms(work: Callable[[], object], rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        began = time.thread_time()
        work()
        best = min(best, time.thread_time() - began)
    return best * 1000


if __name__ == "__main__":
    main()
