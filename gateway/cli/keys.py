"""Makes clients' keys."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from secrets import token_urlsafe

import yaml


def made(name: str, token: Callable[[int], str] = token_urlsafe) -> tuple[str, str]:
    """A new key of 256 random bits, and its entry for the configuration's `keys`."""
    key = f"tg-{token(32)}"
    entry = {"name": name, "sha256": sha256(key.encode()).hexdigest()}
    return key, yaml.safe_dump([entry], sort_keys=False)
