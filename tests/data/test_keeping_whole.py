"""A gateway that keeps: texts without personal data, feedback on them, and nothing of what was to be forgotten."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.answers import answer, completion
from support.operated import Operated, Site, operated, until
from support.scripted import Server, scripted
from typer.testing import CliRunner

from gateway.cli.commands import app
from gateway.data.proof import beside, remains
from gateway.data.store import Store

pytestmark = [pytest.mark.system, pytest.mark.engine]

MAIL = "kim.lee@example.com"
WORDS = "the marzipan submarine leaves the harbour of Trondheim at noon on Thursday"


def key(name: str) -> dict[str, str]:
    return {"name": name, "sha256": hashlib.sha256(f"tg-{name}".encode()).hexdigest()}


def site(folder: Path, base_url: str) -> Site:
    found = Site(folder)
    found.policy(input=[{"pattern": {"deny": ["plover"], "action": "flag"}}])
    data = {"file": "data.db", "reviewers": ["desk"]}
    found.configure(base_url, keys=[key("app"), key("other"), key("desk")], data=data, server={"port": 0, "workers": 2})
    return found


async def ask(client: httpx.AsyncClient, words: str, who: str = "app", **more: Any) -> httpx.Response:
    body = {"model": "m", "messages": [{"role": "user", "content": words}], **more}
    got = await client.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer tg-{who}"})
    assert got.status_code == 200, got.text
    return got


async def say(client: httpx.AsyncClient, who: str = "app", once: str = "", **said: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer tg-{who}", **({"idempotency-key": once} if once else {})}
    return await client.post("/v1/feedback", json=said, headers=headers)


def kept(file: Path) -> dict[str, str]:
    """What was asked in the exchanges that are kept, by their ids."""
    with Store.open(file, write=False) as store:
        return {row.id: row.texts["input"][0]["text"] for row, _ in store.rows()}


async def test_what_is_said_of_answers_has_their_texts_kept_and_deleted_again(tmp_path: Path) -> None:
    async with scripted() as server:
        place = site(tmp_path, server.base_url)
        async with operated(place) as gateway:
            await gateway.ready()
            async with gateway.client() as client:
                await _feedback(place, gateway, client, server)
        log = (tmp_path / "events.jsonl").read_text()
    assert MAIL not in log
    assert "submarine" not in log


async def _feedback(place: Site, gateway: Operated, client: httpx.AsyncClient, server: Server) -> None:
    file = place.folder / "data.db"
    server.play(
        *(answer(completion(f"{said}, says {MAIL}", id=f"chatcmpl-{n}")) for n, said in enumerate((WORDS, "No", "No")))
    )
    got = await ask(client, f"My address is {MAIL}. Where is {WORDS}?", user="u1")
    other = await ask(client, "Nothing was said of this one", user="u2")
    flagged = await ask(client, "A plover, please", user="u2")

    # Its own key, by the id in the body, the same twice, and something else under the same name.
    told = {"id": "chatcmpl-0", "value": "down", "correction": f"Ask {MAIL} instead", "comment": "no, no"}
    first = await say(client, **told)
    assert first.json() == {
        "object": "feedback",
        "id": got.headers["x-request-id"],
        "name": "feedback",
        "repeated": False,
        "texts": True,
    }
    assert (await say(client, **told)).json()["repeated"]
    assert (await say(client, id="chatcmpl-0", value=True)).status_code == 409
    assert (await say(client, id="resp_0", name="other", value=1)).status_code == 200
    once = {"id": other.headers["x-request-id"], "name": "n", "label": "fine"}
    assert not (await say(client, once="k1", **once)).json()["repeated"]
    assert (await say(client, once="k1", **once)).json()["repeated"]
    clash = await say(client, once="k1", **{**once, "name": "m"})
    assert (clash.status_code, clash.headers["x-should-retry"]) == (409, "false")

    # Another key knows nothing of it; a reviewer does.
    assert (await say(client, "other", **told)).status_code == 404
    assert (await say(client, id="chatcmpl-0", source="judge", value=1)).status_code == 422
    assert (await say(client, "desk", id="chatcmpl-0", source="judge", name="j", value=0.2)).status_code == 200
    assert (await say(client, "nobody", **told)).status_code == 401
    events = place.events("feedback.received")
    assert [(e["name"], e["value"], e["corrected"], e["source"]) for e in events] == [
        ("feedback", 0.0, True, "user"),
        ("other", 1.0, False, "user"),
        ("n", None, False, "user"),
        ("j", 0.2, False, "judge"),
    ]

    # Texts: of what was complained of, and flagged; nothing personal, for nobody else's eyes.
    await until(lambda: len(kept(file)) == 2)
    assert set(kept(file)) == {got.headers["x-request-id"], flagged.headers["x-request-id"]}
    assert remains(file, [MAIL]) == 0
    assert remains(file, [WORDS]) > 0
    assert [stat.S_IMODE(one.stat().st_mode) for one in beside(file) if one.exists()] == [0o600] * 3
    with Store.open(file, write=False) as store:
        rows = {row.id: (row, said) for row, said in store.rows()}
    row, said = rows[got.headers["x-request-id"]]
    assert row.reasons == {"complained", "corrected", "praised"}
    assert said[0].correction == "Ask [EMAIL_ADDRESS] instead"

    # Forgotten, under the eyes of a gateway that runs.
    done = CliRunner().invoke(app, ["data", "delete", "--user", "u1", "--file", str(file)])
    assert done.exit_code == 0, done.output
    assert set(kept(file)) == {flagged.headers["x-request-id"]}
    assert remains(file, [WORDS]) == 0
    assert (await say(client, **told)).status_code == 404
