"""One Redis for all tests of limits; each begins with it empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.redis import PROGRAM, Server, running


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if PROGRAM is None:
        pytest.skip("no redis-server here: apt-get install redis-server")
    with running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(redis_server: Server) -> Server:
    with redis_server.client() as client:
        client.flushall()
    return redis_server
