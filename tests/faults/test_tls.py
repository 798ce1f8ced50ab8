"""TLS on both sides: an upstream must prove who it is, and clients are spoken to as the configuration says."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import httpx
import pytest
from faults.authority import EXPIRED, Authority
from faults.entry import ASK
from support.answers import answer, completion
from support.operated import Site, operated
from support.scripted import Server, scripted

pytestmark = pytest.mark.system

GOOD = answer(completion("the tide", "m"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made(tmp_path_factory.mktemp("authority"))


def site_of(folder: Path, **upstreams: Server) -> Site:
    """A gateway with a route of the same name to each upstream, asked by the name of loopback."""
    site = Site(folder)
    site.policy()
    spared = {"kind": "openai", "api_key": "sk-upstream", "timeouts": {"connect_s": 1.0, "first_byte_s": 1.0}}
    listed = [
        {"name": name, "base_url": up.base_url.replace("127.0.0.1", "localhost"), **spared}
        for name, up in upstreams.items()
    ]
    routes = [{"model": name, "upstreams": [name], "policy": "default"} for name in upstreams]
    site.configure("", upstreams=listed, routes=routes)
    return site


async def asked(client: httpx.AsyncClient, model: str) -> tuple[int, str]:
    response = await client.post("/v1/chat/completions", json={**ASK, "model": model})
    error = response.json().get("error") or {}
    assert "sk-upstream" not in response.text
    return response.status_code, error.get("code", "")


async def test_an_upstream_that_cannot_prove_who_it_is_is_told_nothing(tmp_path: Path, authority: Authority) -> None:
    """The platform's trust is what is trusted; an authority of one's own is named in `SSL_CERT_FILE`."""
    other = tmp_path / "other"
    other.mkdir()
    stranger = Authority.made(other)
    async with (
        scripted(lambda _: GOOD, authority.serving("good", "DNS:localhost")) as good,
        scripted(lambda _: GOOD, authority.serving("expired", "DNS:localhost", EXPIRED)) as expired,
        scripted(lambda _: GOOD, authority.serving("elsewhere", "DNS:elsewhere.example")) as elsewhere,
        scripted(lambda _: GOOD, stranger.serving("stranger", "DNS:localhost")) as unknown,
    ):
        site = site_of(tmp_path, good=good, expired=expired, elsewhere=elsewhere, unknown=unknown)
        async with operated(site, env={"SSL_CERT_FILE": str(authority.trust)}) as gateway:
            await gateway.ready()
            async with gateway.client() as client:
                assert await asked(client, "good") == (200, "")
                for name, server in {"expired": expired, "elsewhere": elsewhere, "unknown": unknown}.items():
                    assert await asked(client, name) == (502, "upstream_unreachable")
                    assert not server.seen


async def test_a_handshake_that_hangs_ends_in_time(tmp_path: Path) -> None:
    held: list[asyncio.StreamWriter] = []
    listener = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    server = Server(lambda _: GOOD)
    server.port, server.scheme = listener.sockets[0].getsockname()[1], "https"
    async with listener, operated(site_of(tmp_path, silent=server)) as gateway:
        await gateway.ready()
        async with gateway.client() as client:
            assert await asked(client, "silent") == (504, "upstream_timeout")
        for writer in held:
            writer.close()


async def test_clients_are_spoken_to_over_tls_where_the_gateway_has_a_certificate(
    tmp_path: Path, authority: Authority
) -> None:
    certificate, key = authority.signed("gateway", "IP:127.0.0.1")
    async with scripted(lambda _: GOOD) as model:
        site = Site(tmp_path)
        site.policy()
        site.configure(
            model.base_url, server={"port": 0, "drain_s": 2, "tls": {"certificate": str(certificate), "key": str(key)}}
        )
        async with operated(site) as gateway:
            await gateway.ready()
            assert gateway.url.startswith("https://")
            trust = ssl.create_default_context(cafile=str(authority.trust))
            async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=60, verify=trust) as client:
                assert await asked(client, "m") == (200, "")
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=60) as client:
                    await asked(client, "m")
            assert await spoken("-tls1_2", gateway.url) == 0
            assert await spoken("-tls1_1", gateway.url) != 0


async def spoken(version: str, url: str) -> int:
    """How a handshake of that version ends, every cipher allowed."""
    words = ("s_client", version, "-cipher", "ALL:@SECLEVEL=0", "-connect", url.removeprefix("https://"))
    nothing = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec("openssl", *words, stdin=nothing, stdout=nothing, stderr=nothing)
    return await process.wait()


async def test_a_certificate_that_is_none_ends_the_start_with_its_place(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.policy()
    site.configure("http://127.0.0.1:9/v1", server={"port": 0, "tls": {"certificate": "none.pem", "key": "none.key"}})
    async with operated(site) as gateway:
        assert await gateway.ended() != 0
    assert "server.tls.certificate" in "".join(gateway.said)
