"""Accounts in memory that all HTTP processes of a gateway share: one file without a name, mapped by each of them.

A row is locked by the kernel while it is changed, so a process that dies in the middle holds nobody up, and what it had
reserved is found in its column by the next one that takes the column over.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256

from gateway.errors import LimitsUnavailable
from gateway.limits import account
from gateway.limits.account import Now, Row
from gateway.limits.rule import Claim, Denial, Need, Standing

ROWS = 16_384
"""Keys that there may be, with those that were known before while the gateway ran. Pages nobody used cost nothing."""

_HEADER = 2  # integers before the rows: holders that a row has room for, rows that are taken
_CLAIMS = 1 << 40  # where, far behind the rows, one byte for each column is locked by its holder
_TRY = fcntl.LOCK_EX | fcntl.LOCK_NB
_TRIES, _PAUSE_S = 100, 0.0002
"""A row is locked for microseconds. Whoever keeps it for longer was stopped, and is not waited for much longer."""


def created(columns: int) -> int:
    """A descriptor of an empty table, with room for that many processes; children may inherit it."""
    fd = os.memfd_create("tidegate-limits", 0)
    os.ftruncate(fd, 8 * (_HEADER + ROWS * account.size(columns)))
    os.pwrite(fd, columns.to_bytes(8, "little"), 0)
    return fd


@dataclass(slots=True)
class Clock:
    """The machine's clocks, as accounts want them. The wall clock is asked for the date alone."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    _day: int = -1
    _month: int = 0

    def __call__(self) -> Now:
        wall = self.wall()
        day, spent = divmod(wall, 86_400)
        if day != self._day:
            date = time.gmtime(wall)
            self._day, self._month = int(day), date.tm_year * 12 + date.tm_mon
        return Now(self.monotonic(), self._day, self._month, 86_400 - spent)


@dataclass(slots=True)
class Table:
    """`gate.Store` on the table behind `fd`, of which a process opens one."""

    fd: int
    now: Callable[[], Now] = field(default_factory=Clock)
    column: int = field(init=False)
    _map: mmap.mmap = field(init=False)
    _cells: memoryview[int] = field(init=False)
    _width: int = field(init=False)
    _rows: dict[str, tuple[int, Row]] = field(default_factory=dict)
    _late: deque[tuple[Claim, Need]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._map = mmap.mmap(self.fd, os.fstat(self.fd).st_size)
        self._cells = memoryview(self._map).cast("q")
        self._width = account.size(self._cells[0])
        self.column = self._claimed()

    async def reserve(self, claim: Claim) -> tuple[Standing, Denial | None]:
        """Raises `LimitsUnavailable`."""
        at, row = self._row(claim.name)
        now = self.now()
        self._lock(at)
        try:
            denial = account.reserve(row, self.column, now, claim.rule, claim.need)
            return account.standing(row, now, claim.rule), denial
        finally:
            fcntl.lockf(self.fd, fcntl.LOCK_UN, 8, at)
            if self._late:
                self._catch_up()

    def settle(self, claim: Claim, spent: Need) -> None:
        """At once, or with the next call where the row is not to be had."""
        try:
            self._settled(claim, spent)
        except LimitsUnavailable:
            self._late.append((claim, spent))

    def close(self) -> None:
        """Nothing of it may be used any more. What is still reserved is charged when somebody takes the column."""
        self._rows.clear()
        os.close(self.fd)

    def _settled(self, claim: Claim, spent: Need) -> None:
        at, row = self._row(claim.name)
        self._lock(at)
        try:
            account.settle(row, self.column, self.now(), claim.need, spent)
        finally:
            fcntl.lockf(self.fd, fcntl.LOCK_UN, 8, at)

    def _catch_up(self) -> None:
        for _ in range(len(self._late)):
            self.settle(*self._late.popleft())

    def _row(self, name: str) -> tuple[int, Row]:
        """Where the account of `name` is in the file, in bytes, and the account."""
        found = self._rows.get(name)
        if found is None:
            found = self._rows[name] = self._taken(mark(name))
        return found

    def _taken(self, wanted: tuple[int, int]) -> tuple[int, Row]:
        """The row that has this mark, or the next free one. Raises `LimitsUnavailable` where there is none."""
        self._lock(0)
        try:
            used = self._cells[1]
            for n in range(used):
                row = self._slice(n)
                if (row[0], row[1]) == wanted:
                    return self._place(n), row
            if used == ROWS:
                raise LimitsUnavailable(f"There are accounts for {ROWS} keys and no more; restart the gateway.")
            row = self._slice(used)
            row[0], row[1] = wanted
            self._cells[1] = used + 1
            return self._place(used), row
        finally:
            fcntl.lockf(self.fd, fcntl.LOCK_UN, 8, 0)

    def _slice(self, n: int) -> memoryview[int]:
        return self._cells[_HEADER + n * self._width : _HEADER + (n + 1) * self._width]

    def _place(self, n: int) -> int:
        return 8 * (_HEADER + n * self._width)

    def _claimed(self) -> int:
        """The first column that no living process has, cleared of what the one before it had reserved."""
        for column in range(self._cells[0]):
            try:
                fcntl.lockf(self.fd, _TRY, 1, _CLAIMS + column)
            except OSError:
                continue
            for n in range(self._cells[1]):
                self._abandon(n, column)
            return column
        raise LimitsUnavailable("There are more HTTP processes than the accounts have room for.")

    def _abandon(self, n: int, column: int) -> None:
        at = self._place(n)
        self._lock(at)
        try:
            account.abandon(self._slice(n), column, self.now())
        finally:
            fcntl.lockf(self.fd, fcntl.LOCK_UN, 8, at)

    def _lock(self, at: int) -> None:
        try:
            fcntl.lockf(self.fd, _TRY, 8, at)
        except OSError:
            self._wait(at)

    def _wait(self, at: int) -> None:
        for _ in range(_TRIES):
            time.sleep(_PAUSE_S)
            with suppress(OSError):
                fcntl.lockf(self.fd, _TRY, 8, at)
                return
        raise LimitsUnavailable("What this key may still use cannot be looked up now. Try again.", retry_after=1)


def mark(name: str) -> tuple[int, int]:
    """What an account is known by: 128 bits of its name's digest."""
    digest = sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "little", signed=True), int.from_bytes(digest[8:16], "little", signed=True)
