"""Small edits of a sentence, and what they do to its support: swaps that take it away, rewordings that do not.

A swap knows the characters it changed, so that a model can be told which words are wrong and not only that one is.
"""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from gateway.scoring.words import content

_NAMES = re.compile(r"\b[A-Z][\w’'-]*(?:\.? (?:of |the |de |van |von )?[A-Z][\w’'-]*)*")
_NUMBERS = re.compile(r"(?<![\w.,])\d[\d,]*(?:\.\d+)?(?![\w]|[.,]\d)")
_YEAR = re.compile(r"1\d{3}|20\d{2}")
_NOT_NAMES = frozenset("The A An This That These Those He She It They We I In On At But And His Her Its".split())  # noqa: SIM905 - as read
_SERIES = (
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "north south east west northern southern eastern western",
)
_MONTHS = "January February March April May June July August September October November December".split()  # noqa: SIM905 - as read
_COUNTED = "one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905 - as read
_OPPOSITES = """
    before after; first last; more less; more fewer; most least; increase decrease; increased decreased; increases
    decreases; increasing decreasing; rise fall; rose fell; rising falling; up down; high low; higher lower; highest
    lowest; large small; larger smaller; largest smallest; big little; bigger smaller; long short; longer shorter; new
    old; newer older; young old; younger older; youngest oldest; early late; earlier later; best worst; better worse;
    good bad; won lost; win lose; wins loses; winning losing; winner loser; buy sell; bought sold; buyer seller; accept
    reject; accepted rejected; approve refuse; approved refused; allow forbid; allowed forbidden; support oppose;
    supported opposed; supports opposes; agree disagree; agreed disagreed; begin end; began ended; start stop; started
    stopped; open close; opened closed; enter leave; entered left; arrive depart; arrived departed; join leave; joined
    left; born died; alive dead; male female; man woman; men women; boy girl; father mother; son daughter; brother
    sister; husband wife; king queen; he she; his her; inside outside; above below; over under; with without; always
    never; often rarely; all none; many few; every no; everyone nobody; same different; similar different; possible
    impossible; legal illegal; guilty innocent; public private; true false; success failure; successful unsuccessful;
    strong weak; stronger weaker; easy difficult; cheap expensive; positive negative; major minor; maximum minimum;
    include exclude; includes excludes; included excluded; add remove; added removed; gain loss; profit loss; attack
    defend; love hate; loved hated; remember forget; confirmed denied; confirm deny; confirms denies; praised
    criticised; praised criticized; parent child; parents children; employer employee; teacher student; doctor patient;
    lead follow; cause prevent; caused prevented; improve worsen; improved worsened; safe dangerous; full empty; day
    night; morning evening; summer winter; spring autumn; hot cold; rich poor; import export; internal external; local
    foreign; ancient modern; married divorced; heavy light; fast slow; faster slower; raise lower; raised lowered; gave
    took; give take; send receive; sent received; teach learn; taught learned; lend borrow; hired fired; found lost;
    known unknown; active inactive; directly indirectly; partially completely; few all; only also; least most; weekly
    monthly; daily weekly; annual monthly; north south; east west; left right; top bottom; front back; past future
"""
_ALIKE = """
    approximately about; stated said; said stated; large big; begin start; began started; started began; also
    additionally; but however; obtain get; help assist; assists helps; helps assists; needs requires; requires needs;
    nearly almost; almost nearly; film movie; movie film; film picture; because since; buy purchase; purchased bought;
    bought purchased; children kids; ended finished; quickly rapidly; rapidly quickly; shows demonstrates; showed
    demonstrated; demonstrates shows; famous renowned; well-known famous; located situated; situated located; wrote
    authored; created made; people individuals; several various; various several; many numerous; numerous many; often
    frequently; frequently often; allow permit; allows permits; allowed permitted; killed slain; job position; doctors
    physicians; car automobile; home house; ill sick; happy glad; difficult hard; hard difficult; important significant;
    significant important; enough sufficient; however nevertheless; while whereas; currently now; previously formerly;
    formerly previously; company firm; firm company; offers provides; provides offers; use utilize; uses utilizes; used
    utilized; told informed; asked requested; attempted tried; tried attempted; permits allows; received got; teacher
    instructor; attorney lawyer; lawyer attorney; police officers; students pupils; including among; contains
    includes; includes contains; comprises includes; city town; big large; main primary;
    primary main; major main; initially first; announced declared; declared announced; revealed disclosed; disclosed
    revealed; aims seeks; seeks aims; enhance improve; improve enhance; enhances improves; improves enhances; approach
    method; method approach; propose introduce; introduce present; proposes introduces; discuss talk-about; discussed
    talked-about; customers clients; clients customers; price cost; cost price; assist help; ensure guarantee; ensures
    guarantees; inquires asks; asks inquires; mentions notes; notes mentions; explains describes; describes explains;
    contact reach; schedule arrange; scheduled arranged; interested keen; expressed voiced; suggests proposes
"""


def _table(text: str, *, both: bool) -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    for pair in text.split(";"):
        a, b = pair.split()
        for old, new in ((a, b), (b, a)) if both else ((a, b),):
            table.setdefault(old, []).append(new)
    return table


_OPPOSITE = _table(_OPPOSITES, both=True)
_LIKE = _table(_ALIKE, both=False)
_AUXILIARIES = re.compile(
    r"\b(is|are|was|were|has|had|can|could|will|would|should|may|might|must|did|does)\b(?! (?:not|n't))"
)
_DENIALS = re.compile(
    r"\b(is|are|was|were|has|have|had|can|could|will|would|should|did|does|do)(?: not|n[’']t)\b|\bnever "
)


@dataclass(frozen=True, slots=True)
class Edit:
    """A text whose characters `spans` are new; `old` was replaced by `new` once, both empty where that is not so."""

    text: str
    spans: tuple[tuple[int, int], ...]
    kind: str
    old: str = ""
    new: str = ""

    @property
    def portable(self) -> bool:
        """Whether the same edit can be made in the context."""
        return bool(self.old)


Dice = random.Random
Kind = Callable[[str, str, Dice], Edit | None]


def swapped(claim: str, context: str, dice: Dice) -> Edit | None:
    """`claim`, supported by `context`, with one fact of it changed; the kind of change drawn by `dice`."""
    kinds: list[Kind] = [
        name,
        name,
        number,
        number,
        word,
        word,
        opposite,
        denial,
        roles,
        series,
    ]
    dice.shuffle(kinds)
    return next((edit for kind in kinds if (edit := kind(claim, context, dice)) is not None), None)


def name(claim: str, context: str, dice: Dice) -> Edit | None:
    """A name for another of the context, of as many words where there is one."""
    found = [m for m in _NAMES.finditer(claim) if m.group() not in _NOT_NAMES and (m.start() or " " in m.group())]
    if not found:
        return None
    old = dice.choice(found)
    size = len(old.group().split())
    others = sorted({m.group() for m in _NAMES.finditer(context)} - _NOT_NAMES)
    fits = [
        o for o in others if o not in claim and old.group() not in o and not (set(o.split()) & set(old.group().split()))
    ]
    alike = [o for o in fits if len(o.split()) == size and o.isupper() == old.group().isupper()]
    return _replaced(claim, old.span(), dice.choice(alike or fits), "name") if alike or fits else None


def number(claim: str, context: str, dice: Dice) -> Edit | None:
    """A number for another of the context, or for one near by."""
    found = list(_NUMBERS.finditer(claim))
    if not found:
        return None
    old = dice.choice(found)
    year = bool(_YEAR.fullmatch(old.group()))
    others = sorted({m.group() for m in _NUMBERS.finditer(context) if bool(_YEAR.fullmatch(m.group())) == year})
    others = [o for o in others if o not in claim and o != old.group()]
    new = dice.choice(others) if others and dice.random() < 0.5 else _near(old.group(), year, dice)
    return _replaced(claim, old.span(), new, "number") if new != old.group() and new not in claim else None


def series(claim: str, context: str, dice: Dice) -> Edit | None:
    """A month, a weekday, a direction or a counted word for another of its kind."""
    del context
    kinds = [*(line.split() for line in _SERIES), _MONTHS, _COUNTED]
    found = [
        (m, kind)
        for kind in kinds
        for m in re.finditer(rf"\b({'|'.join(kind)})\b", claim)
        if m.start() or kind is _MONTHS
    ]
    if not found:
        return None
    old, kind = dice.choice(found)
    return _replaced(claim, old.span(), dice.choice([k for k in kind if k not in claim] or kind), "series")


def opposite(claim: str, context: str, dice: Dice) -> Edit | None:
    """A word for its opposite."""
    del context
    table = _OPPOSITE
    found = [m for m in re.finditer(r"\b[a-z]+\b", claim) if m.group() in table]
    if not found:
        return None
    old = dice.choice(found)
    return _replaced(claim, old.span(), dice.choice(table[old.group()]), "opposite")


def denial(claim: str, context: str, dice: Dice) -> Edit | None:
    """A *not* put in or taken out."""
    del context
    if denied := _DENIALS.search(claim):
        plain = denied.group(1) or ""
        text = claim[: denied.start()] + plain + claim[denied.end() :]
        return Edit(text, ((denied.start(), denied.start() + max(len(plain), 1)),), "denial")
    found = list(_AUXILIARIES.finditer(claim))
    if not found:
        return None
    at = dice.choice(found).end()
    new = dice.choice([" not", " not", " never"])
    return Edit(claim[:at] + new + claim[at:], ((at + 1, at + len(new)),), "denial")


def roles(claim: str, context: str, dice: Dice) -> Edit | None:
    """Two names in each other's place, where they are not merely listed together."""
    del context
    found = [m for m in _NAMES.finditer(claim) if m.group() not in _NOT_NAMES]
    pairs = [(a, b) for a, b in pairwise(found) if _related(claim[a.end() : b.start()])]
    if not pairs:
        return None
    a, b = dice.choice(pairs)
    if a.group() in b.group() or b.group() in a.group():
        return None
    text = claim[: a.start()] + b.group() + claim[a.end() : b.start()] + a.group() + claim[b.end() :]
    moved = b.end() - len(a.group())
    return Edit(text, ((a.start(), a.start() + len(b.group())), (moved, b.end())), "roles")


def word(claim: str, context: str, dice: Dice) -> Edit | None:
    """A longer word of lower case for one of the context with the same ending."""
    found = [m for m in re.finditer(r"(?<![\w’'-])[a-z]{5,}(?![\w’'-])", claim) if content(m.group())]
    pool = sorted({m for m in re.findall(r"(?<![\w’'-])[a-z]{5,}(?![\w’'-])", context) if content(m)})
    dice.shuffle(found)
    for old in found[:6]:
        ending = old.group()[-3:] if len(old.group()) > 6 else old.group()[-2:]
        fits = [w for w in pool if w.endswith(ending) and w not in claim and w[:4] != old.group()[:4]]
        if fits:
            return _replaced(claim, old.span(), dice.choice(fits), "word")
    return None


def reworded(claim: str, dice: Dice) -> str:
    """`claim` said a little differently, as true as before: words for their like, dates turned, brackets left out."""
    table = _LIKE

    def alike(found: re.Match[str]) -> str:
        fits = table.get(found.group())
        return dice.choice(fits).replace("-", " ") if fits and dice.random() < 0.7 else found.group()

    text = re.sub(r"\b[a-z]+\b", alike, claim)
    for change in (_unbracketed, _turned, _counted):
        if dice.random() < 0.6:
            text = change(text)
    return text


def carried(edit: Edit, context: Sequence[str]) -> tuple[str, ...] | None:
    """`context` with the same replacement made everywhere; None where there is nothing to replace."""
    if not edit.portable:
        return None
    old = re.compile(rf"(?<!\w){re.escape(edit.old)}(?!\w)")
    if not any(old.search(part) for part in context):
        return None
    return tuple(old.sub(lambda _: edit.new, part) for part in context)


def _replaced(text: str, span: tuple[int, int], new: str, kind: str) -> Edit:
    start, end = span
    return Edit(text[:start] + new + text[end:], ((start, start + len(new)),), kind, text[start:end], new)


def _near(old: str, year: bool, dice: Dice) -> str:
    plain = old.replace(",", "")
    if "." in plain:
        whole, _, part = plain.partition(".")
        return f"{int(whole) + dice.choice([0, 1, 2])}.{(int(part[0]) + dice.randint(1, 8)) % 10}{part[1:]}"
    value = int(plain)
    new = value + dice.choice([-1, 1]) * dice.randint(1, 12) if year else _scaled(value, dice)
    return f"{new:,}" if "," in old else str(new)


def _scaled(value: int, dice: Dice) -> int:
    if value < 20:
        return max(value + dice.choice([-3, -2, -1, 1, 2, 3, 5]), 0)
    return max(round(value * dice.choice([0.5, 0.7, 0.9, 1.2, 1.5, 2])), 1)


def _related(between: str) -> bool:
    return len(between.split()) > 1 and not re.search(r"\b(and|or)\b\s*$|^,\s*$", between)


def _unbracketed(text: str) -> str:
    return re.sub(r"\s*\([^()]*\)", "", text)


def _turned(text: str) -> str:
    """`March 2, 1991` as `2 March 1991`, and the other way round."""
    month = "|".join(_MONTHS)
    turned = re.sub(rf"\b({month}) (\d{{1,2}}), (\d{{4}})", r"\2 \1 \3", text)
    return turned if turned != text else re.sub(rf"\b(\d{{1,2}}) ({month}) (\d{{4}})", r"\2 \1, \3", text)


def _counted(text: str) -> str:
    """`three` as `3`, and the other way round."""
    words = {word: str(value) for value, word in enumerate(_COUNTED, 1) if value > 1}
    digits = {value: word for word, value in words.items()}

    def other(found: re.Match[str]) -> str:
        return words.get(found.group()) or digits.get(found.group()) or found.group()

    return re.sub(r"(?<![\w.,:/$£€-])(?:[a-z]+|\d{1,2})(?![\w,:/%-]|\.\d)", other, text)


def differing(old: str, new: str) -> Iterator[tuple[int, int]]:
    """The runs of characters of `new`, in whole words, that `old` does not have in that place."""
    a, b = (list(re.finditer(r"\w+|[^\w\s]", text)) for text in (old, new))
    matcher = difflib.SequenceMatcher(None, [m.group() for m in a], [m.group() for m in b], autojunk=False)
    for tag, _, _, start, end in matcher.get_opcodes():
        if tag != "equal":
            run = b[start:end] or b[max(start - 1, 0) : start + 1]
            if run:
                yield run[0].start(), run[-1].end()
