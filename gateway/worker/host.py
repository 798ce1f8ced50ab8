"""The child process: `python -m gateway.worker.host --engine MODULE --socket PATH`, the engine's spec on stdin as JSON.

It is a template. It prepares the engine once, listens, and forks a server that answers calls; when that server dies,
hangs or overruns a deadline it is killed and another is forked at once, with nothing to import again. What happens is
told on stdout as JSON lines (`ready`, `lost`, `failed`); whatever engines print goes to stderr. Linux only.

Exit codes: 0 on SIGTERM, 3 where the engine cannot be prepared or opened (the reason is the last line on stdout).
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import importlib
import os
import re
import resource
import signal
import socket
import stat
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, cast

import orjson

from gateway.errors import TidegateError
from gateway.worker.pulse import BEGUN, GRACE_S, Pulse, Reading
from gateway.worker.server import Module, Room, Seat, serve

OOM_SCORE = Path("/proc/self/oom_score_adj")  # proc(5)
UNFIT = 3  # exit code: the engine cannot start, and trying again would not help
FAREWELL_S = 1.2  # a server has this long to close its engine
BACKOFF_S = (0.0, 0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # after that many servers in a row soon died idle
STEADY_S = 10.0  # a server that lived this long did not die soon

_PR_SET_PDEATHSIG = 1
_SPARE_S = 0.02  # between two looks where something is awaited
_ENDING = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_SIGNALS = {signal.SIGCHLD, *_ENDING}
_SECRET = re.compile(r"key|token|secret|password|credential|authorization", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line and stdin ask for."""

    engine: str
    socket: Path
    room: Room
    generation: int
    spec: Any


@dataclass(slots=True)
class Child:
    """One forked server."""

    pid: int
    generation: int
    since: float
    announced: bool = False


@dataclass(slots=True)
class Template:
    """Keeps one server running. Single-threaded and without an event loop, so that a fork is clean."""

    order: Order
    module: Module
    prepared: object
    listener: socket.socket
    tell: Teller
    pulse: Pulse = field(default_factory=Pulse)
    instance: int = field(default_factory=time.monotonic_ns)
    child: Child | None = None
    generation: int = 0
    proven: bool = False  # some server has opened its engine
    streak: int = 0  # servers in a row that soon died with nothing in hand
    start_at: float = 0.0

    def run(self) -> int:
        """Until SIGTERM (0), or until the first server proves unable to open (3)."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        code: int | None = None
        asleep = time.monotonic()
        while code is None:
            code = self._round(time.monotonic(), asleep)
            asleep = time.monotonic()
            got = signal.sigtimedwait(_SIGNALS, self._nap(asleep)) if code is None else None
            # CPython hands out an unset siginfo where a wait was interrupted (SIGSTOP, SIGCONT) past its timeout.
            if got is not None and got.si_signo in _ENDING:
                code = 0
        if self.child is not None:
            self._part(self.child)
        return code

    def _round(self, now: float, asleep: float) -> int | None:
        if self.child is None:
            if now >= self.start_at:
                self._try_fork(now)
            return None
        if (status := _waited(self.child.pid)) is not None:
            return self._bury(self.child, status)
        self._watch(self.child, now, overslept=now - asleep > 5 * GRACE_S)
        return None

    def _nap(self, now: float) -> float:
        """Seconds until something may have to be done. No call can need killing sooner than GRACE_S after it began."""
        if self.child is None:
            return max(0.0, self.start_at - now)
        if not self.child.announced:
            return _SPARE_S
        due = self.pulse.read().due
        return min(GRACE_S, max(_SPARE_S, due + GRACE_S - now)) if due else GRACE_S

    def _watch(self, child: Child, now: float, *, overslept: bool) -> None:
        reading = self.pulse.read()
        self._announce(child, reading, now)
        # Whoever stopped this process probably stopped the server too: look again before judging it.
        if not overslept and (reason := reading.ailment(now)):
            self._kill(child, reason)

    def _announce(self, child: Child, reading: Reading, now: float) -> None:
        if reading.ready and not child.announced:
            child.announced = self.proven = True
            self.tell("ready", pid=child.pid, generation=child.generation, seconds=round(now - child.since, 3))

    def _kill(self, child: Child, reason: str) -> None:
        os.kill(child.pid, signal.SIGKILL)
        os.waitpid(child.pid, 0)
        self._lost(child, reason)

    def _bury(self, child: Child, status: int) -> int | None:
        if os.WIFSTOPPED(status):
            self._kill(child, "stopped")
            return None
        if note := self.pulse.note:
            self.tell("failed", message=note)
        self._lost(child, _cause(status))
        return UNFIT if note and not self.proven else None

    def _lost(self, child: Child, reason: str) -> None:
        _kill_group(child.pid)  # whatever the server had started
        now, reading = time.monotonic(), self.pulse.read()
        self._announce(child, reading, now)
        self.tell("lost", pid=child.pid, generation=child.generation, reason=reason, running=reading.running)
        # A call that kills its server is the call's fault; a server that soon dies idle is sick by itself.
        sick = not reading.running and now - child.since < STEADY_S
        self.streak = self.streak + 1 if sick else 0
        self.child = None
        self.start_at = now + BACKOFF_S[min(self.streak, len(BACKOFF_S) - 1)]

    def _part(self, child: Child) -> None:
        """Have the server close its engine; kill it if it takes too long."""
        os.kill(child.pid, signal.SIGTERM)
        until = time.monotonic() + FAREWELL_S
        while (left := until - time.monotonic()) > 0 and _waited(child.pid) is None:
            signal.sigtimedwait({signal.SIGCHLD}, left)
        if left <= 0:
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
        _kill_group(child.pid)

    def _try_fork(self, now: float) -> None:
        try:
            self._fork(now)
        except OSError as error:  # no memory or no process to be had: later, perhaps
            self.tell("failed", message=said(error, None))
            self.start_at = now + 1.0

    def _fork(self, now: float) -> None:
        self.generation += 1
        self.pulse.renew(now)
        generation, parent = self.order.generation + self.generation, os.getpid()
        pid = os.fork()
        if pid == 0:
            _serve(self, generation, parent)
        with suppress(OSError):  # the child does so too; whoever comes first
            os.setpgid(pid, pid)
        self.child = Child(pid, generation, now)


class Teller:
    """Writes JSON lines to what was stdout, and never waits for whoever should read them."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __call__(self, event: str, **fields: Any) -> None:
        with suppress(OSError):
            os.write(self._fd, orjson.dumps({"event": event, **fields}) + b"\n")

    def close(self) -> None:
        os.close(self._fd)


def main() -> int:
    args = _arguments()
    die_with(args.parent)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold prompts and keys
    with suppress(OSError):
        OOM_SCORE.write_text("500")  # where memory runs out, a worker goes before the gateway does
    tell = _taken_stdout()
    order: Order | None = None
    try:
        order = Order(args.engine, args.socket, Room(args.limit, args.queue), args.generation, _spec())
        module = cast("Module", importlib.import_module(order.engine))
        prepared = module.prepare(order.spec)
        listener = listen(order.socket)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever an engine's imports raise, the operator is told
        tell("failed", message=said(error, order.spec if order else None))
        return UNFIT
    gc.collect()
    gc.freeze()  # the collector of a forked server need not touch, and so copy, what all servers share
    try:
        return Template(order, module, prepared, listener, tell).run()
    finally:
        order.socket.unlink(missing_ok=True)


def listen(path: Path) -> socket.socket:
    """A listening Unix socket that only this user can reach; takes the place of one left behind."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(f"{path} is there and is not a socket")
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    listener.listen(1024)
    return listener


def die_with(parent: int) -> None:
    """Be killed when the parent's main thread ends, however it ends. `parent` is its pid, 0 if not known."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent and os.getppid() != parent:  # it died before we asked
        os._exit(1)


def said(error: BaseException, spec: Any) -> str:
    """One line about an engine that cannot start, with the spec's secrets taken out."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = error.message if isinstance(error, TidegateError) else f"{type(error).__name__}: {error}"
    for secret in _secrets(spec):
        text = text.replace(secret, "***")
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))[:500]


def _serve(template: Template, generation: int, parent: int) -> NoReturn:
    """The forked server's whole life. It ends in `os._exit`: what the template registered to run at exit is not its."""
    code = 1
    try:
        with suppress(OSError):
            os.setpgid(0, 0)
        die_with(parent)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        template.tell.close()
        code = _answer(template, generation)
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _answer(template: Template, generation: int) -> int:
    order, pulse = template.order, template.pulse
    try:
        opening = template.module.open(order.spec, template.prepared)
        asyncio.run(serve(opening, Seat(template.listener, pulse, order.room, template.instance, generation)))
    except BaseException as error:  # noqa: BLE001 - the last frame of this process; a traceback could print a prompt
        if pulse.read().ready:
            sys.stderr.write(f"worker: server ends: {type(error).__name__}\n")
        else:
            pulse.note = said(error, order.spec)
        return UNFIT
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="gateway.worker.host")
    parser.add_argument("--engine", required=True, help="dotted name of the engine's module")
    parser.add_argument("--socket", required=True, type=Path)
    fit = range(1, BEGUN // 2)  # what runs must be remembered as begun
    parser.add_argument("--limit", type=int, default=64, choices=fit, metavar="N", help="calls that run at once")
    parser.add_argument("--queue", type=int, default=1024, help="calls that may wait")
    parser.add_argument("--generation", type=int, default=0, help="number of the last server before this template")
    parser.add_argument("--parent", type=int, default=0, help="pid to die with")
    return parser.parse_args()


def _taken_stdout() -> Teller:
    """Keep stdout to ourselves, and have everything that prints print to stderr."""
    fd = os.dup(1)
    os.set_blocking(fd, False)
    os.dup2(2, 1)
    return Teller(fd)


def _spec() -> Any:
    with os.fdopen(0, "rb", closefd=False) as stdin:
        spec = orjson.loads(stdin.read())
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return spec


def _waited(pid: int) -> int | None:
    """The child's status if it ended or was stopped."""
    done, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
    return status if done else None


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _cause(status: int) -> str:
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return f"exit {os.waitstatus_to_exitcode(status)}"


def _secrets(spec: Any, *, under: bool = False) -> list[str]:
    """Strings kept under a name that sounds like a secret's."""
    match spec:
        case Mapping():
            return [s for k, v in spec.items() for s in _secrets(v, under=under or bool(_SECRET.search(str(k))))]
        case list():
            return [s for v in spec for s in _secrets(v, under=under)]
        case str() if under and len(spec) > 3:
            return [spec]
    return []


if __name__ == "__main__":
    sys.exit(main())
