"""What an operator reads when all is up: the address, and a request to try."""

from __future__ import annotations

from gateway.app import events_path
from gateway.config.schema import Config


def banner(config: Config, host: str, port: int) -> str:
    origin = f"{'https' if config.gateway.server.tls else 'http'}://{host}:{port}"
    url = f"{origin}/v1"
    model = config.gateway.routes[0].model
    auth = " -H 'authorization: Bearer <key>'" if config.gateway.keys else ""
    message = '{"role": "user", "content": "Which city is the capital of France?"}'
    body = f'{{"model": "{model}", "temperature": 0, "messages": [{message}]}}'
    return (
        f"\nTidegate is ready at {url}\n\n"
        f"  curl {url}/chat/completions -H 'content-type: application/json'{auth} \\\n    -d '{body}'\n\n"
        f"Events: {events_path(config)}   Metrics: {origin}/metrics   Stop: Ctrl-C\n"
    )
