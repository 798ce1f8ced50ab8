"""The file of what is kept: SQLite, written ahead (WAL), for its owner's eyes only. One process writes, others read."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import orjson

from gateway.data.row import Feedback, Row

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers(id TEXT PRIMARY KEY, alias TEXT, key TEXT, route TEXT, user TEXT, at REAL)
  WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answers_alias ON answers(alias);
CREATE INDEX IF NOT EXISTS answers_at ON answers(at);
CREATE TABLE IF NOT EXISTS exchanges(
  id TEXT PRIMARY KEY, at REAL, key TEXT, route TEXT, user TEXT, reasons TEXT, topic TEXT, scores TEXT, record TEXT,
  texts TEXT, size INTEGER);
CREATE INDEX IF NOT EXISTS exchanges_at ON exchanges(at);
CREATE TABLE IF NOT EXISTS feedback(
  number INTEGER PRIMARY KEY, exchange TEXT, name TEXT, source TEXT, key TEXT, at REAL, value REAL, label TEXT,
  comment TEXT, correction TEXT, once TEXT, digest TEXT, UNIQUE(exchange, name, source));
CREATE UNIQUE INDEX IF NOT EXISTS feedback_once ON feedback(key, once) WHERE once != '';
CREATE TABLE IF NOT EXISTS forgotten(kind TEXT, value TEXT, at REAL, PRIMARY KEY(kind, value));
CREATE TABLE IF NOT EXISTS counts(name TEXT PRIMARY KEY, number INTEGER);
"""

ANSWERS = 1_000_000
"""Ids that are known, so that feedback finds its exchange: about 200 MB."""

By = Literal["id", "user", "key"]
Answer = tuple[str, str]  # id and route
Taken = Literal["new", "again", "conflict"]


@dataclass(slots=True)
class Store:
    """An open file. Methods raise `sqlite3.Error`, for a full disk, say."""

    path: Path
    db: sqlite3.Connection
    _forgot: dict[tuple[str, str], float] = field(default_factory=dict)
    _version: int = -1

    @classmethod
    def open(cls, path: Path, *, write: bool = True) -> Self:
        """Raises `FileNotFoundError` to read what is not there, `sqlite3.Error` for what is no store."""
        if write:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite gives -wal and -shm its mode
            path.chmod(0o600)
        elif not path.exists():
            raise FileNotFoundError(path)
        db = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "secure_delete=ON"):
            db.execute(f"PRAGMA {pragma}")
        if write:
            db.executescript(_SCHEMA)
        return cls(path, db)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.db.close()

    # What the worker writes…

    def know(self, rows: Iterable[Row]) -> None:
        """Remember whose answers these are."""
        self.db.execute("BEGIN IMMEDIATE")
        known = [(r.id, r.alias, r.key, r.route, r.user, r.at) for r in rows if not self.forgets(r)]
        self.db.executemany("INSERT OR REPLACE INTO answers VALUES(?,?,?,?,?,?)", known)
        self.db.execute("COMMIT")

    def put(self, rows: Iterable[Row]) -> int:
        """Store exchanges with their texts, but for those that were to be forgotten; how many."""
        self.db.execute("BEGIN IMMEDIATE")
        kept = [row for row in rows if not self.forgets(row)]
        self.db.executemany("INSERT OR IGNORE INTO exchanges VALUES(?,?,?,?,?,?,?,?,?,?,?)", map(_columns, kept))
        self.db.execute("COMMIT")
        return len(kept)

    def mark(self, ident: str, reason: str = "", topic: str = "", scores: dict[str, float] | None = None) -> bool:
        """Add what became known of an exchange that is kept; whether it is."""
        found = self.db.execute("SELECT reasons, topic, scores FROM exchanges WHERE id=?", (ident,)).fetchone()
        if found is None:
            return False
        reasons = sorted({*orjson.loads(found[0]), *([reason] if reason else [])})
        values = orjson.dumps({**orjson.loads(found[2]), **(scores or {})}).decode()
        told = (orjson.dumps(reasons).decode(), topic or found[1], values, ident)
        self.db.execute("UPDATE exchanges SET reasons=?, topic=?, scores=? WHERE id=?", told)
        return True

    def say(self, said: Feedback, once: str = "", digest: str = "") -> Taken:
        """Take feedback, once. `digest` tells whether what came again is the same (that of what came)."""
        digest = digest or said.digest
        row = (said.exchange, said.name, said.source, said.key, said.at, said.value, said.label)
        found = self.db.execute(
            "SELECT digest FROM feedback WHERE (key=? AND once=? AND once!='') OR (exchange=? AND name=? AND source=?)",
            (said.key, once, said.exchange, said.name, said.source),
        ).fetchall()
        if found:
            return "again" if all(one == (digest,) for one in found) else "conflict"
        self.db.execute(
            "INSERT INTO feedback(exchange,name,source,key,at,value,label,comment,correction,once,digest)"
            " VALUES(?,?,?,?,?,?,?,?,?,?,?)",
            (*row, said.comment, said.correction, once, digest),
        )
        return "new"

    def unsay(self, exchange: str, name: str, source: str) -> None:
        """Take feedback back that could not be recorded."""
        self.db.execute("DELETE FROM feedback WHERE exchange=? AND name=? AND source=?", (exchange, name, source))

    def count(self, name: str, more: int) -> None:
        self.db.execute(
            "INSERT INTO counts VALUES(?,?) ON CONFLICT(name) DO UPDATE SET number=number+excluded.number", (name, more)
        )

    def purge(self, now: float, days: float, rows: int, size: int) -> int:
        """Delete what is too old, and the oldest of what is too much; how many exchanges went."""
        old = now - days * 86_400
        gone = self.db.execute("DELETE FROM exchanges WHERE at < ?", (old,)).rowcount
        gone += self.db.execute(
            "DELETE FROM exchanges WHERE id IN (SELECT id FROM exchanges ORDER BY at DESC, id LIMIT -1 OFFSET ?)",
            (rows,),
        ).rowcount
        gone += self.db.execute(
            "DELETE FROM exchanges WHERE id IN (SELECT id FROM"
            " (SELECT id, SUM(size) OVER (ORDER BY at DESC, id) AS total FROM exchanges) WHERE total > ?)",
            (size,),
        ).rowcount
        self.db.execute("DELETE FROM feedback WHERE at < ?", (old,))
        self.db.execute("DELETE FROM answers WHERE at < ?", (old,))
        self.db.execute("DELETE FROM forgotten WHERE at < ?", (old,))
        self.db.execute(
            "DELETE FROM answers WHERE id IN (SELECT id FROM answers ORDER BY at DESC LIMIT -1 OFFSET ?)", (ANSWERS,)
        )
        if gone:
            self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone

    # What is asked…

    def answers(self, ident: str, alias: str, key: str | None) -> list[Answer]:
        """Exchanges of `key` (None: of anybody) whose id is `ident`, or whose answer's is `alias`."""
        return self.db.execute(
            "SELECT id, route FROM answers WHERE (id=? OR (alias=? AND alias!='')) AND (? IS NULL OR key=?) LIMIT 2",
            (ident, alias, key, key),
        ).fetchall()

    def forgets(self, row: Row) -> bool:
        """Whether somebody had everything deleted of what this is part of, after it happened."""
        version = self.db.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self._forgot = {(k, v): at for k, v, at in self.db.execute("SELECT kind, value, at FROM forgotten")}
            self._version = version
        whose = (("id", row.id), ("user", row.user), ("key", row.key))
        return any(self._forgot.get(one, 0.0) >= row.at for one in whose)

    def rows(self, since: float = 0.0, until: float = float("inf")) -> Iterator[tuple[Row, list[Feedback]]]:
        """Everything kept, the oldest first."""
        said = self.feedback()
        columns = "id, at, key, route, user, reasons, topic, scores, record, texts"
        query = f"SELECT {columns} FROM exchanges WHERE at>=? AND at<? ORDER BY at, id"  # noqa: S608 - our own words
        for row in self.db.execute(query, (since, until)):
            yield _row(row), said.get(row[0], [])

    def feedback(self) -> dict[str, list[Feedback]]:
        found: dict[str, list[Feedback]] = {}
        columns = "exchange, name, source, key, at, value, label, comment, correction"
        for row in self.db.execute(f"SELECT {columns} FROM feedback ORDER BY number"):  # noqa: S608 - our own words
            found.setdefault(row[0], []).append(Feedback(*row))
        return found

    def counts(self) -> dict[str, int]:
        """How much there is, and what was lost."""
        tables = ("exchanges", "feedback", "answers")
        found = {t: self.db.execute(f"SELECT COUNT(*) FROM {t}").fetchone()[0] for t in tables}  # noqa: S608 - our own words
        return {**found, **dict(self.db.execute("SELECT name, number FROM counts ORDER BY name"))}

    # Forgetting…

    def forget(self, by: By, values: Sequence[str]) -> tuple[int, list[str]]:
        """Delete all that `by` is one of `values`, and refuse what is still on its way; how many, and their texts.

        Raises `sqlite3.OperationalError` where another program reads for so long that the file cannot be made anew.
        """
        gone, texts = 0, list[str]()
        for value in values:
            self.db.execute("BEGIN IMMEDIATE")
            self.db.execute("INSERT OR REPLACE INTO forgotten VALUES(?,?,?)", (by, value, time.time()))
            where = f"SELECT id FROM answers WHERE {by}=?1 UNION SELECT id FROM exchanges WHERE {by}=?1"  # noqa: S608 - `By`
            texts += _said(self.db, where, value)
            self.db.execute(f"DELETE FROM feedback WHERE exchange IN ({where})", (value,))  # noqa: S608 - as above
            gone += self.db.execute(f"DELETE FROM exchanges WHERE {by}=?", (value,)).rowcount  # noqa: S608 - as above
            self.db.execute(f"DELETE FROM answers WHERE {by}=?", (value,))  # noqa: S608 - as above
            self.db.execute("COMMIT")
        self._version = -1
        self.emptied()
        return gone, texts

    def emptied(self) -> None:
        """Make the file anew, without free pages, and the log of writes empty."""
        self.db.execute("VACUUM")
        busy = self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise sqlite3.OperationalError("another program reads the file; try again when it has ended")


def _columns(row: Row) -> tuple[Any, ...]:
    reasons, scores = orjson.dumps(sorted(row.reasons)).decode(), orjson.dumps(row.scores).decode()
    record, texts = orjson.dumps(row.record).decode(), orjson.dumps(row.texts).decode()
    return row.id, row.at, row.key, row.route, row.user, reasons, row.topic, scores, record, texts, len(texts.encode())


def _row(found: Sequence[Any]) -> Row:
    ident, at, key, route, user, reasons, topic, scores, record, texts = found
    told = orjson.loads(record), orjson.loads(texts), set(orjson.loads(reasons)), topic, orjson.loads(scores)
    return Row(ident, "", key, route, user, at, *told)


def _said(db: sqlite3.Connection, where: str, value: str) -> list[str]:
    """Texts of the exchanges that `where` finds, and of what was said of them."""
    found: list[str] = []
    for (texts,) in db.execute(f"SELECT texts FROM exchanges WHERE id IN ({where})", (value,)):  # noqa: S608 - our own words
        told = orjson.loads(texts)
        found += [said["text"] for side in ("input", "output") for said in told.get(side, ())]
    query = f"SELECT comment, correction FROM feedback WHERE exchange IN ({where})"  # noqa: S608 - our own words
    for pair in db.execute(query, (value,)):
        found += [text for text in pair if text]
    return found
