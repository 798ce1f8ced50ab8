"""Phoenix and MLflow as servers of their own, each from its own environment in `~/.cache/tidegate-peers`.

python3 -m venv ~/.cache/tidegate-peers/phoenix && ~/.cache/tidegate-peers/phoenix/bin/pip install arize-phoenix
python3 -m venv ~/.cache/tidegate-peers/mlflow && ~/.cache/tidegate-peers/mlflow/bin/pip install mlflow
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

PEERS = Path.home() / ".cache" / "tidegate-peers"
READY_S = 240.0


def installed(name: str) -> Path | None:
    """The folder of commands that `name` came with."""
    folder = PEERS / name / "bin"
    return folder if (folder / name).exists() else None


@contextmanager
def phoenix(folder: Path, bin_: Path) -> Iterator[str]:
    port = _port()
    env = {
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(_port()),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    with _running([str(bin_ / "phoenix"), "serve"], env, f"http://127.0.0.1:{port}", "/healthz", folder) as url:
        yield url


@contextmanager
def mlflow(folder: Path, bin_: Path) -> Iterator[str]:
    port = _port()
    env = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    store = [f"--backend-store-uri=sqlite:///{folder}/mlflow.db", f"--artifacts-destination={folder}/artifacts"]
    command = [str(bin_ / "mlflow"), "server", "--host=127.0.0.1", f"--port={port}", "--workers=1", *store]
    with _running(command, env, f"http://127.0.0.1:{port}", "/health", folder) as url:
        yield url


@contextmanager
def _running(command: list[str], env: Mapping[str, str], url: str, health: str, folder: Path) -> Iterator[str]:
    path = f"{Path(command[0]).parent}:{os.environ['PATH']}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
            env={**os.environ, "PATH": path, "DO_NOT_TRACK": "1", **env},
        )
        try:
            _wait(process, url + health, folder / "log")
            yield url
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()[-4000:]
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise AssertionError(f"not ready: {log.read_text()[-4000:]}")


def _port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
