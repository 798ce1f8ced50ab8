"""The peers: how each is installed, told the rule as its documentation says, started on loopback, and spoken to.

All run in environments of their own under one folder, never in the project's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a peer lives, which rule it is given, where its upstream is and where it is to listen."""

    folder: Path
    rule: str
    upstream: str
    port: int

    def python(self, name: str) -> str:
        return str(self.folder / name / "bin" / "python")

    def bin(self, name: str, program: str) -> str:
        return str(self.folder / name / "bin" / program)

    def written(self, name: str, text: str) -> Path:
        file = self.folder / "settings" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file


@dataclass(frozen=True, slots=True)
class Peer:
    """`start` writes the settings and gives the command; `asked` is what a request to it needs besides."""

    name: str
    package: str
    version: str
    start: Callable[[Place], list[str]]
    install: Callable[[Path], None]
    path: str = "/v1/chat/completions"
    headers: Callable[[Place], Mapping[str, str]] = lambda _: {}
    body: Mapping[str, Any] = field(default_factory=dict)
    environ: Callable[[Place], Mapping[str, str]] = lambda _: {}
    model: str = "m"


# Installing


def _python(name: str, *packages: str) -> Callable[[Path], None]:
    def install(folder: Path) -> None:
        home = folder / name
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "--only-binary", ":all:", *packages], check=True)

    return install


def _portkey_in(folder: Path) -> None:
    """Its newest dependencies break every stream (500), so those it was tested with are pinned."""
    home = folder / "portkey"
    home.mkdir(parents=True, exist_ok=True)
    pins = {"hono": "4.9.7", "@hono/node-server": "1.13.5", "@hono/node-ws": "1.2.0"}
    (home / "package.json").write_text(json.dumps({"name": "peer", "private": True, "overrides": pins}))
    package = "@portkey-ai/gateway@1.15.2"
    subprocess.run(
        ["npm", "i", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", package], cwd=home, check=True
    )


# LiteLLM: its own content filter, before and after the call, on for everybody.


def _litellm(place: Place) -> list[str]:
    rule = {"pattern_type": "regex", "name": "tide", "pattern": place.rule, "action": "BLOCK"}
    settings = {
        "model_list": [
            {
                "model_name": "m",
                "litellm_params": {"model": "openai/m", "api_base": place.upstream, "api_key": "none"},
            }
        ],
        "guardrails": [
            {
                "guardrail_name": "tide",
                "litellm_params": {
                    "guardrail": "litellm_content_filter",
                    "mode": ["pre_call", "post_call"],
                    "default_on": True,
                    "patterns": [rule],
                },
            }
        ],
        "litellm_settings": {"telemetry": False, "num_retries": 0},
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
    }
    file = place.written("litellm.yaml", yaml.safe_dump(settings))
    return [place.bin("litellm", "litellm"), "--config", str(file), "--host", "127.0.0.1", "--port", str(place.port)]


# Portkey: its regular expression check on both sides, denying.


def _portkey(place: Place) -> list[str]:
    loopback = place.written("loopback.cjs", _LOOPBACK)
    script = place.folder / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"
    return ["node", "--require", str(loopback), str(script), f"--port={place.port}", "--headless"]


# It listens on every interface and has no option for another.
_LOOPBACK = """
const net = require("net");
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (where, ...rest) {
  const port = typeof where === "object" && where !== null ? where.port : where;
  return listen.call(this, { port, host: "127.0.0.1" }, ...rest.filter((it) => typeof it === "function"));
};
"""


def _portkey_headers(place: Place) -> Mapping[str, str]:
    check = {"default.regexMatch": {"rule": place.rule, "not": True}, "deny": True}
    config = {
        "provider": "openai",
        "api_key": "none",
        "custom_host": place.upstream,
        "input_guardrails": [check],
        "output_guardrails": [check],
    }
    return {"x-portkey-config": json.dumps(config)}


# NeMo Guardrails: its regular expression rails; on streams they come before the text (`stream_first: false`).


def _nemo(place: Place) -> list[str]:
    found = {"patterns": [place.rule]}
    settings = {
        "models": [
            {
                "type": "main",
                "engine": "openai",
                "model": "m",
                "parameters": {"base_url": place.upstream, "api_key": "none"},
            }
        ],
        "rails": {
            "config": {"regex_detection": {"input": found, "output": found}},
            "input": {"flows": ["regex check input"]},
            "output": {
                "flows": ["regex check output"],
                "streaming": {"enabled": True, "stream_first": False, "chunk_size": 200, "context_size": 50},
            },
        },
    }
    folder = place.written("nemo/tide/config.yml", yaml.safe_dump(settings)).parent.parent
    # The command line listens on every interface; the same app, on loopback.
    code = (
        "import uvicorn; from nemoguardrails.server import api; "
        f"api.app.rails_config_path = {str(folder)!r}; api.app.disable_chat_ui = True; "
        f"uvicorn.run(api.app, host='127.0.0.1', port={place.port}, log_level='warning')"
    )
    return [place.python("nemo"), "-c", code]


# Guardrails AI: a guard with a validator of the same expression, on what goes in and what comes out.


def _guardrails(place: Place) -> list[str]:
    file = place.written("guardrails/config.py", _GUARD.format(rule=place.rule))
    return [
        place.bin("guardrails", "guardrails"),
        *("start", "--config", str(file), "--port", str(place.port)),
    ]


_GUARD = """
import re
from guardrails import Guard
from guardrails.validators import FailResult, PassResult, register_validator


@register_validator(name="tide", data_type="string")
def tide(value, metadata):
    return FailResult(error_message="denied") if re.search({rule!r}, value) else PassResult()


guard = Guard(name="tide")
guard.id = "tide"
guard.use(tide(on_fail="exception"), on="messages")
guard.use(tide(on_fail="exception"), on="output")
"""

PEERS = (
    Peer(
        "LiteLLM",
        "litellm",
        "1.106.2",
        _litellm,
        _python("litellm", "litellm[proxy]==1.106.2", "prometheus_client"),
        environ=lambda _: {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # on loopback, for a minute
        },
    ),
    Peer("Portkey", "portkey", "1.15.2", _portkey, _portkey_in, headers=_portkey_headers),
    Peer(
        "NeMo Guardrails",
        "nemo",
        "0.24.1",
        _nemo,
        _python("nemo", "nemoguardrails[server]==0.24.1"),
        body={"guardrails": {"config_id": "tide"}},
        environ=lambda place: {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": place.upstream},
    ),
    Peer(
        "Guardrails AI",
        "guardrails",
        "0.11.0 (API 0.4.4)",
        _guardrails,
        _python("guardrails", "guardrails-ai[api]==0.11.0", "guardrails-api==0.4.4"),
        path="/guards/tide/openai/v1/chat/completions",
        environ=lambda place: {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": place.upstream},
        model="openai/m",
    ),
)


def environ(peer: Peer, place: Place) -> dict[str, str]:
    """Nothing of ours but where programs are; no telemetry, no proxy."""
    home = place.folder / "home"
    home.mkdir(exist_ok=True)
    quiet = {"DO_NOT_TRACK": "1", "OTEL_SDK_DISABLED": "true", "GUARDRAILS_RUN_SYNC": "false", "HF_HUB_OFFLINE": "1"}
    return {"PATH": os.environ["PATH"], "HOME": str(home), "HOST": "127.0.0.1", **quiet, **peer.environ(place)}
