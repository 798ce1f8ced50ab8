"""One gateway for all contract tests, as a user starts it: a scripted model, the embedded one, and one policy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.serving import serving, written
from support.speaking import FORBIDDEN
from support.stage import Stage, threaded

POLICY = {
    "input": [
        {"pattern": {"name": "word", "deny": [rf"\b{FORBIDDEN}s\b"]}},
        {"pattern": {"name": "secrets", "builtin": ["api_keys"], "action": "redact"}},
    ],
    "output": [{"pattern": {"name": "word", "deny": [rf"\b{FORBIDDEN}\b"]}}],
}


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("contract")
    with threaded() as model:
        settings = {
            "upstreams": [
                {"name": "scripted", "kind": "openai", "base_url": model.base_url},
                {"name": "local", "kind": "embedded", "pooling": "mean"},
            ],
            "routes": [
                {"model": "scripted", "upstreams": ["scripted"], "policy": "words"},
                {"model": "busy", "upstreams": ["scripted"], "policy": "words"},
                {"model": "plain", "upstreams": ["scripted"], "policy": "words"},
                {"model": "embedded", "upstreams": ["local"], "policy": "words"},
            ],
            "scoring": None,
        }
        with serving(written(folder / "g", settings, {"words": POLICY}), folder / "g" / "events.jsonl") as gateway:
            yield Stage(gateway, model)


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """Where the Node client is installed; skips where there is none."""
    folder = Path(__file__).parents[1] / "node"
    if not (folder / "node_modules" / "openai").is_dir():
        pytest.skip("the Node client is not installed: it needs npm, then `make test` installs it")
    return folder
