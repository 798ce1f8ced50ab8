"""A rule as it is to be read in texts that write its characters otherwise.

`é` may stand as one character or as two, and in a folded text it is an `e`; `пароль` is `napoль` there.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from gateway.policy.automaton.charset import SURROGATES, Ranges, union
from gateway.policy.automaton.syntax import Chars, Choice, Node, Place, Repeat, Seq
from gateway.policy.normalise.fold import Fold

NAMED = 1024  # characters; a larger set (a script, all but a few) means what it says of other forms as well


def decomposed(node: Node) -> Node:
    """`node` that also matches the characters it names where they are written as a letter and its marks."""
    return _rewritten(node, _with_forms)


def refolded(node: Node, fold: Fold) -> Node:
    """`node` with every character that it names folded."""
    return _rewritten(node, lambda ranges: _images(ranges, fold))


def _rewritten(node: Node, change: Callable[[Ranges], set[str] | None]) -> Node:
    """`node` where sets match the words that `change` gives instead; `node` itself where it gives none."""
    match node:
        case Chars(ranges):
            words = change(ranges)
            return node if words is None else _either(ranges, words)
        case Place():
            return node
        case Repeat(inner, low, high):
            new = _rewritten(inner, change)
            return node if new is inner else Repeat(new, low, high)
        case Seq(nodes) | Choice(nodes):
            changed = tuple(_rewritten(n, change) for n in nodes)
            same = all(a is b for a, b in zip(changed, nodes, strict=True))
            return node if same else type(node)(changed)


def _with_forms(ranges: Ranges) -> set[str] | None:
    named = _named(ranges)
    forms = {unicodedata.normalize("NFD", char) for char in named}
    return None if _within(forms, ranges) else forms | set(named)


def _images(ranges: Ranges, fold: Fold) -> set[str] | None:
    images = {fold[ord(char)] for char in _named(ranges)}
    return None if _within(images, ranges) else images


def _within(words: set[str], ranges: Ranges) -> bool:
    """Whether `words` add nothing: `(?i:s)` has `ſ` among its characters, which folds to `s`."""
    return all(len(word) == 1 and any(low <= ord(word) <= high for low, high in ranges) for word in words)


def _named(ranges: Ranges) -> list[str]:
    """The characters beyond ASCII, unless they are too many to be meant one by one."""
    beyond = [(max(low, 0x80), high) for low, high in ranges if high >= 0x80]
    if sum(high - low + 1 for low, high in beyond) > NAMED:
        return []
    codes = (code for low, high in beyond for code in range(low, high + 1))
    return [chr(code) for code in codes if not SURROGATES[0] <= code <= SURROGATES[1]]


def _either(ranges: Ranges, words: set[str]) -> Node:
    """The ASCII characters of `ranges`, or one of `words`."""
    plain = ((low, min(high, 0x7F)) for low, high in ranges if low < 0x80)
    chars = Chars(union((*plain, *((ord(word), ord(word)) for word in words if len(word) == 1))))
    longer = [Seq(tuple(Chars(((ord(c), ord(c)),)) for c in word)) for word in sorted(words) if len(word) != 1]
    return Choice((chars, *longer)) if longer else chars
