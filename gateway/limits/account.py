"""The arithmetic of one key's account, on a row of integers that processes may share. Time and date are given.

Requests and tokens are counted by the second in a ring of 61: the second that has begun and the sixty before it. So no
sixty seconds, wherever they begin, ever see more than the rule allows. What is under way counts as much as was reserved
for it, until it is settled for what it came to; the same holds for money, by the calendar's day and month in UTC.

Whoever holds reservations has a column of its own in the row: what a process that died had reserved can be told, and is
charged as if it had been used.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from gateway.limits.rule import SPAN_S, Denial, Need, Rule, Standing

SLOTS = SPAN_S + 1

# Places in a row
NAME = 0  # two integers: whose it is
HEAD = 2  # the newest second that is counted
REQUESTS = 3  # in the window
TOKENS = 4  # in the window, settled
LAST = 5  # the newest second in which tokens were settled
PARALLEL = 6  # under way
HELD_TOKENS = 7  # reserved by what is under way
HELD_NANO = 8
DAY = 9  # its number
DAY_NANO = 10  # spent in it
MONTH = 11
MONTH_NANO = 12
RING = 13  # requests by second, then tokens by second
COLUMNS = RING + 2 * SLOTS  # three integers for each holder: under way, tokens, nano-dollars


class Row(Protocol):
    def __getitem__(self, place: int, /) -> int: ...
    def __setitem__(self, place: int, value: int, /) -> None: ...


class Now(NamedTuple):
    """`s` are monotonic seconds; `day` and `month` are numbers that grow, in UTC, and `left` the seconds of the day."""

    s: float
    day: int = 0
    month: int = 0
    left: float = 0.0


def size(columns: int) -> int:
    """Integers in a row with room for that many holders."""
    return COLUMNS + 3 * columns


def reserve(row: Row, column: int, now: Now, rule: Rule, need: Need) -> Denial | None:
    """Take what an exchange needs, all of it, or nothing and say why."""
    _advance(row, now)
    if denial := _denied(row, now, rule, need):
        return denial
    row[REQUESTS] += 1
    row[RING + row[HEAD] % SLOTS] += 1
    _hold(row, column, 1, need)
    return None


def settle(row: Row, column: int, now: Now, need: Need, spent: Need) -> None:
    """Give back what `reserve` took, and count what was used instead."""
    _advance(row, now)
    _hold(row, column, -1, need)
    _count(row, spent)


def abandon(row: Row, column: int, now: Now) -> None:
    """Charge what a holder that is gone had reserved: nobody knows what it came to."""
    at = COLUMNS + 3 * column
    count, need = row[at], Need(row[at + 1], row[at + 2])
    if count or need.tokens or need.nano:
        _advance(row, now)
        _hold(row, column, -count, need)
        _count(row, need)


def standing(row: Row, now: Now, rule: Rule) -> Standing:
    """What is left after what was counted last."""
    used = row[TOKENS] + row[HELD_TOKENS]
    return Standing(
        max(0, rule.requests - row[REQUESTS]) if rule.requests is not None else 0,
        max(0, rule.tokens - used) if rule.tokens is not None else 0,
        _last(row) + SLOTS - now.s if row[REQUESTS] else 0.0,
        0.0 if not used else SLOTS if row[HELD_TOKENS] else row[LAST] + SLOTS - now.s,
    )


def _advance(row: Row, now: Now) -> None:
    """Forget what has left the window, and what was spent on days before. A clock that goes back changes nothing."""
    second, head = int(now.s), row[HEAD]
    if second > head:
        for slot in range(head + 1, min(second, head + SLOTS) + 1):
            at = RING + slot % SLOTS
            row[REQUESTS] -= row[at]
            row[TOKENS] -= row[at + SLOTS]
            row[at] = row[at + SLOTS] = 0
        row[HEAD] = second
    if now.day > row[DAY]:
        row[DAY], row[DAY_NANO] = now.day, 0
    if now.month > row[MONTH]:
        row[MONTH], row[MONTH_NANO] = now.month, 0


def _denied(row: Row, now: Now, rule: Rule, need: Need) -> Denial | None:
    """The first thing that there is not enough of: money, then what takes longest to come back."""
    money = row[HELD_NANO] + need.nano
    if rule.month is not None and row[MONTH_NANO] + money > rule.month:
        return Denial("month", None)
    if rule.day is not None and row[DAY_NANO] + money > rule.day:
        return Denial("day", None if need.nano > rule.day else now.left)
    if rule.tokens is not None and (over := row[TOKENS] + row[HELD_TOKENS] + need.tokens - rule.tokens) > 0:
        return Denial("tokens", None if need.tokens > rule.tokens else _wait(row, now, SLOTS, over))
    if rule.requests is not None and row[REQUESTS] >= rule.requests:
        return Denial("requests", _wait(row, now, 0, 1))
    if rule.parallel is not None and row[PARALLEL] >= rule.parallel:
        return Denial("parallel", 1.0)
    return None


def _wait(row: Row, now: Now, ring: int, over: int) -> float:
    """Seconds until `over` have left the window; a second where that depends on what is under way."""
    for slot in range(row[HEAD] - SPAN_S, row[HEAD] + 1):
        over -= row[RING + ring + slot % SLOTS]
        if over <= 0:
            return slot + SLOTS - now.s
    return 1.0


def _last(row: Row) -> int:
    """The newest second with a request in it, of those in the window."""
    head = row[HEAD]
    while not row[RING + head % SLOTS]:
        head -= 1
    return head


def _hold(row: Row, column: int, count: int, need: Need) -> None:
    """Reserve for `count` exchanges more, or give back where that is not positive."""
    at, (tokens, nano) = COLUMNS + 3 * column, need
    row[PARALLEL] += count
    row[at] += count
    if tokens:
        tokens = tokens if count > 0 else -tokens
        row[HELD_TOKENS] += tokens
        row[at + 1] += tokens
    if nano:
        nano = nano if count > 0 else -nano
        row[HELD_NANO] += nano
        row[at + 2] += nano


def _count(row: Row, spent: Need) -> None:
    if spent.tokens:
        row[TOKENS] += spent.tokens
        row[RING + SLOTS + row[HEAD] % SLOTS] += spent.tokens
        row[LAST] = row[HEAD]
    if spent.nano:
        row[DAY_NANO] += spent.nano
        row[MONTH_NANO] += spent.nano
