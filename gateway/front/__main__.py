"""`python -m gateway.front`: an HTTP process, on descriptors it inherits. Started by `serve` alone."""

from __future__ import annotations

import argparse
import asyncio
import socket

import uvloop

from gateway.front.process import serve
from gateway.observe.stderr import quiet
from gateway.worker.host import die_with


def main() -> None:
    parser = argparse.ArgumentParser(prog="gateway.front")
    parser.add_argument("--listen", type=int, required=True, help="descriptor that clients connect to")
    parser.add_argument("--control", type=int, required=True, help="descriptor to the supervisor")
    parser.add_argument("--accounts", type=int, required=True, help="descriptor of what keys have used")
    parser.add_argument("--parent", type=int, required=True, help="pid to die with")
    given = parser.parse_args()
    die_with(given.parent)
    quiet()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        listener, control = socket.socket(fileno=given.listen), socket.socket(fileno=given.control)
        runner.run(serve(listener, control, given.accounts))


if __name__ == "__main__":
    main()
