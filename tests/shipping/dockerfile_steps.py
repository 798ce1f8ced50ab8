"""Runs the Dockerfile's steps where there is no container engine: `dockerfile_steps.py Dockerfile [--bind PATH]…`.

Each stage starts from a bare Debian with Python, made by debootstrap in place of the `python:3.11-slim` image, and each
instruction is carried out in a chroot of it, in order. What comes out is then started as its ENTRYPOINT says, in a
network of its own: without keys it must refuse to listen, with a key its HEALTHCHECK must pass and an exchange must be
answered. Needs root.
"""

# ruff: noqa: T201  # it tells a person what it does
from __future__ import annotations

import argparse
import ctypes
import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from shipping.dockerfile import Instruction, Stage, read

SUITE = "bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"
ENVIRONMENT = {
    "HOME": "/root",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}
READY_S = 120
NONE: Mapping[str, str] = MappingProxyType({})
CLONE_NEWNET = 0x40000000
KEY = "a-key-for-this-test-alone"


@dataclass(slots=True)
class Root:
    """One stage's file system, and what its instructions have set so far."""

    path: Path
    env: dict[str, str] = field(default_factory=lambda: dict(ENVIRONMENT))
    folder: str = "/"
    user: str = "root"

    def popen(
        self, argv: Sequence[str], said: int | None = None, more: Mapping[str, str] = NONE
    ) -> subprocess.Popen[bytes]:
        inside = f"cd {shlex.quote(self.folder)} && exec {shlex.join(argv)}"
        chroot = ["chroot", f"--userspec={self.user}", str(self.path), "/bin/sh", "-c", inside]
        return subprocess.Popen(
            chroot, env={**self.env, **more}, start_new_session=True, stdout=said, stderr=said and subprocess.STDOUT
        )

    def run(self, argv: Sequence[str]) -> int:
        return self.popen(argv, more=outside()).wait()

    def at(self, path: str) -> Path:
        """Where `path`, as an instruction writes it, is on this machine."""
        return self.path / os.path.normpath(Path(self.folder, path)).lstrip("/")


def outside() -> dict[str, str]:
    """What this machine's own package clients are told by the environment; a builder has such things too."""
    return {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_CERT"))}


def build(stages: Sequence[Stage], context: Path, work: Path, binds: Sequence[str]) -> Root:
    """Carry out all stages; the last one's root."""
    base = work / "base"
    step(f"debootstrap {SUITE}, in place of {stages[0].base}")
    subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, base],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    roots: dict[str, Root] = {}
    for number, stage in enumerate(stages):
        root = roots[stage.name or str(number)] = Root(work / f"stage-{number}")
        subprocess.run(["cp", "-a", base, root.path], check=True)
        with mounted(root, binds):
            for each in stage.instructions:
                carry_out(each, root, context, roots)
    return root


def carry_out(each: Instruction, root: Root, context: Path, roots: dict[str, Root]) -> None:
    started = time.monotonic()
    match each.word:
        case "RUN":
            step(f"RUN {each.rest}")
            if root.run(["/bin/sh", "-c", each.rest]) != 0:
                raise SystemExit(f"failed: RUN {each.rest}")
            print(f"   {time.monotonic() - started:.0f} s", flush=True)
        case "COPY":
            step(f"COPY {each.rest}")
            copy(each.rest.split(), root, context, roots)
        case "ENV":
            for name, _, value in (word.partition("=") for word in shlex.split(each.rest)):
                root.env[name] = value.replace("$PATH", root.env["PATH"])
        case "WORKDIR":
            root.folder = each.rest
            root.at(".").mkdir(parents=True, exist_ok=True)
        case "USER":
            root.user, root.env["HOME"] = each.rest, f"/home/{each.rest}"


def copy(words: list[str], root: Root, context: Path, roots: dict[str, Root]) -> None:
    source = context
    if words[0].startswith("--from="):
        source, words = roots[words[0].removeprefix("--from=")].path, words[1:]
    *names, target = words
    for name in names:
        found = source / name.lstrip("/")
        if found.is_dir():
            shutil.copytree(
                found,
                root.at(target),
                symlinks=True,
                dirs_exist_ok=True,
                ignore=shutil.ignore_patterns("__pycache__") if source == context else None,
            )
        else:
            shutil.copy(found, root.at(target))


@contextmanager
def mounted(root: Root, binds: Sequence[str]) -> Iterator[None]:
    """The kernel's file systems, the resolver's settings and `binds` in the root, for as long as this lasts."""
    targets = []
    try:
        for name in ("/proc", "/dev", "/dev/pts", "/dev/shm", "/etc/resolv.conf", *binds):
            target = root.path / name.lstrip("/")
            if Path(name).is_dir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                target.touch()
            subprocess.run(["mount", "--bind", name, target], check=True)
            targets.append(target)
        yield
    finally:
        for target in reversed(targets):
            subprocess.run(["umount", "--lazy", target], check=True)


def prove(root: Root, stage: Stage) -> None:
    """Start what was built as its ENTRYPOINT and CMD say."""
    start = [*stage.last("ENTRYPOINT").argv, *stage.last("CMD").argv]
    step(f"{shlex.join(start)}, as {root.user}, without keys")
    refused = root.popen(start, subprocess.PIPE).communicate(timeout=READY_S)[0].decode()
    if "without keys" not in refused:
        raise SystemExit(f"it does not refuse to serve beyond loopback without keys: {refused}")
    print(f"   {refused.strip()}", flush=True)
    step("the same with a key")
    with_key(root)
    server = root.popen(start)
    try:
        wait_until_healthy(root, stage.last("HEALTHCHECK").argv, server)
        print("   HEALTHCHECK passes;", answered(), flush=True)
    finally:
        server.send_signal(signal.SIGTERM)
        print("   exit code after SIGTERM:", server.wait(60), flush=True)


def leave_the_network() -> None:
    """From here on this process and its children have a loopback interface of their own, and nothing else."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def with_key(root: Root) -> None:
    """Add a key to the image's configuration, as an operator's mounted file would."""
    made = subprocess.run(["sha256sum"], input=KEY.encode(), capture_output=True, check=True).stdout.split()[0].decode()
    file = root.at("config/gateway.yaml")
    file.write_text(f"{file.read_text()}\nkeys:\n  - {{name: test, sha256: {made}}}\n")


def wait_until_healthy(root: Root, check: Sequence[str], server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_S
    while root.popen(check, subprocess.DEVNULL).wait() != 0:
        if server.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("it did not become healthy")
        time.sleep(1)


def answered() -> str:
    """What an exchange came to, once the model has started."""
    body = {"model": "default", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}
    request = urllib.request.Request(
        "http://127.0.0.1:8080/v1/chat/completions",
        json.dumps(body).encode(),
        {"authorization": f"Bearer {KEY}", "content-type": "application/json"},
    )
    deadline = time.monotonic() + READY_S
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return f"an exchange is answered: {json.load(reply)['choices'][0]['message']['content']!r}"
        except urllib.error.HTTPError as refused:
            said = refused.read().decode()
            if refused.code not in {502, 503} or time.monotonic() > deadline:
                raise SystemExit(f"an exchange is refused: {said}") from None
        time.sleep(1)


def step(text: str) -> None:
    print(f"-- {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--bind", action="append", default=[], help="path of this machine that the steps see too")
    given = parser.parse_args()
    stages = read(given.file)
    with tempfile.TemporaryDirectory(prefix="dockerfile-") as work:
        root = build(stages, given.file.absolute().parent, Path(work), given.bind)
        with mounted(root, []):
            leave_the_network()
            prove(root, stages[-1])
    print("all steps passed")


if __name__ == "__main__":
    main()
