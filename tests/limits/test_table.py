"""Accounts in memory: processes that share a table add up, and one that dies leaves nothing held."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.errors import LimitsUnavailable, QuotaExceeded, RequestsLimited, TokensLimited
from gateway.limits import account
from gateway.limits.account import Now
from gateway.limits.gate import Account, Gate, Lease, span
from gateway.limits.rule import Claim, Need, Rule, Standing
from gateway.limits.table import Table, created

ROOT = Path(__file__).parents[2]
ASKING = """
import asyncio, sys
from gateway.limits.rule import Claim, Need, Rule, Standing
from gateway.limits.table import Table
async def main(fd, name, count, rule):
    table, granted = Table(fd), 0
    for n in range(count):
        claim = Claim(name, str(n), rule, Need(3, 5))
        _, denial = await table.reserve(claim)
        if denial is None:
            granted += 1
            if sys.argv[2] == "settles":
                table.settle(claim, Need(2, 4))
    print(granted, flush=True)
asyncio.run(main(int(sys.argv[1]), "app", 400, Rule(requests=500)))
"""


def asking(fd: int, how: str) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", ASKING, str(fd), how], pass_fds=[fd], stdout=subprocess.PIPE, env=env
    )


def granted(processes: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    return [int(process.communicate(timeout=60)[0]) for process in processes]


def cells(table: Table, name: str = "app") -> list[int]:
    _, row = table._row(name)
    return [row[n] for n in (account.REQUESTS, account.PARALLEL, account.TOKENS, account.HELD_TOKENS)]


def test_processes_together_admit_exactly_what_one_may() -> None:
    fd = created(4)
    processes = [asking(fd, "settles") for _ in range(3)]
    assert sum(granted(processes)) == 500
    table = Table(fd)
    assert cells(table) == [500, 0, 1000, 0]
    assert table._row("app")[1][account.MONTH_NANO] == 2000
    table.close()


def test_what_a_process_that_is_gone_held_is_charged_when_another_takes_its_place() -> None:
    fd = created(1)
    (count,) = granted([asking(fd, "leaves")])
    table = Table(fd)
    assert cells(table) == [count, 0, 3 * count, 0]
    assert table._row("app")[1][account.MONTH_NANO] == 5 * count
    table.close()


def test_there_is_room_for_so_many_processes_and_no_more() -> None:
    fd = created(1)
    table = Table(fd)
    done = asking(fd, "leaves")
    assert done.communicate(timeout=60)[0] == b""  # it ends, and does not share a column
    assert cells(table) == [0, 0, 0, 0]
    table.close()


async def test_keys_have_accounts_of_their_own() -> None:
    table = Table(created(1), lambda: Now(5.0))
    for name in ("a", "b"):
        assert (await table.reserve(Claim(name, "1", Rule(requests=1), Need())))[1] is None
        assert (await table.reserve(Claim(name, "2", Rule(requests=1), Need())))[1] is not None
    table.close()


def test_a_row_that_somebody_keeps_is_not_waited_for_long_and_nothing_is_lost() -> None:
    fd = created(2)
    table = Table(fd, lambda: Now(5.0))
    claim = Claim("app", "1", Rule(), Need(7))
    asyncio.run(table.reserve(claim))
    at, _ = table._row("app")
    code = f"import fcntl, sys; fcntl.lockf({fd}, fcntl.LOCK_EX, 8, {at}); print('kept', flush=True); sys.stdin.read()"
    asked = [sys.executable, "-c", code]
    with subprocess.Popen(asked, pass_fds=[fd], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"kept\n"
        with pytest.raises(LimitsUnavailable):
            asyncio.run(table.reserve(claim))
        table.settle(claim, Need(3))
        assert cells(table) == [1, 1, 0, 7]
        other.communicate()
    asyncio.run(table.reserve(claim))
    assert cells(table) == [2, 1, 3, 7]
    table.close()


class Away:
    """A store that cannot be asked."""

    async def reserve(self, claim: Claim) -> tuple[Standing, None]:
        raise LimitsUnavailable("away")

    def settle(self, claim: Claim, spent: Need) -> None:
        raise AssertionError("nothing was reserved")


async def test_without_the_store_nothing_passes_unless_the_operator_says_so() -> None:
    one = Account("app", Rule(requests=1), 0)
    with pytest.raises(LimitsUnavailable):
        await Gate(Away()).admit(one, "1", Need())
    lease = await Gate(Away(), "open").admit(one, "1", Need())
    lease.enforce()
    lease.settle(1, 1.0)
    assert lease.headers() == {}


@pytest.mark.parametrize(
    ("rule", "need", "error", "code"),
    [
        (Rule(requests=0), Need(), RequestsLimited, "rate_limit_exceeded"),
        (Rule(parallel=0), Need(), RequestsLimited, "rate_limit_exceeded"),
        (Rule(tokens=5), Need(6), TokensLimited, "rate_limit_exceeded"),
        (Rule(day=5), Need(0, 6), QuotaExceeded, "insufficient_quota"),
        (Rule(month=5), Need(0, 6), QuotaExceeded, "insufficient_quota"),
    ],
)
def test_a_refusal_says_what_there_is_not_enough_of(
    rule: Rule, need: Need, error: type[QuotaExceeded], code: str
) -> None:
    async def admitted() -> Lease:
        table = Table(created(1), lambda: Now(5.0, 1, 1, 9.0))
        try:
            return await Gate(table).admit(Account("app", rule, 0), "1", need)
        finally:
            table.close()

    lease = asyncio.run(admitted())
    with pytest.raises(error) as refused:
        lease.enforce()
    assert (refused.value.status, refused.value.code) == (429, code)


def test_spans_are_written_as_openai_does_and_never_too_short() -> None:
    assert [span(s) for s in (-1, 0, 0.2, 1, 59.1, 60, 60.4, 61, 99)] == [
        *("0s", "0s", "1s", "1s", "1m0s", "1m0s", "1m1s", "1m1s", "1m1s")
    ]
