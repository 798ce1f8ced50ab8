"""What an engine says of specs that it should not start with, asked in one child process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_ASK = """
import asyncio, importlib, json, sys
from gateway.errors import ConfigError
engine = importlib.import_module(sys.argv[1])

async def opened(spec):
    async with engine.open(spec, engine.prepare(spec)):
        pass

def said(spec):
    try:
        asyncio.run(opened(spec))
    except ConfigError as error:
        return error.message
    return ""

told = [said(spec) for spec in json.load(sys.stdin)]
sys.stdout.write("\\n" + json.dumps(told))
"""


def refusals(module: str, specs: list[Any]) -> list[str]:
    """One message per spec, empty where the engine starts."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _ASK, f"gateway.policy.engines.{module}"],
        input=json.dumps(specs),
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        timeout=120,
    )
    messages: list[str] = json.loads(done.stdout.splitlines()[-1])
    return messages
