"""`/ui` as an operator has it: the gateway as it is served, and a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright
from support.panel_gateway import KEY, POLICY, SETTINGS, shown
from support.serving import Serving, written

from gateway.config.load import load
from gateway.errors import ConfigError

CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.system, pytest.mark.engine]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with shown(tmp_path_factory.mktemp("ui")) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("wants chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser, gateway: Serving) -> Iterator[Page]:
    """The page, before the key was given. Nothing may go wrong on it."""
    page, wrong = browser.new_page(viewport={"width": 1360, "height": 1100}), list[str]()

    def said(message: ConsoleMessage) -> None:
        if message.type == "error" and "401" not in message.text:
            wrong.append(message.text)

    page.on("console", said)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(f"{gateway.url}/ui")
    yield page
    page.close()
    assert not wrong


def entered(page: Page, key: str = KEY) -> Page:
    page.fill("#key", key)
    page.click("#door button")
    return page


@pytest.mark.parametrize("path", ["look", "map"])
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer tg-app"}, {"authorization": "Basic dGc6dGc="}])
def test_what_is_shown_wants_the_operators_key(gateway: Serving, path: str, headers: dict[str, str]) -> None:
    said = httpx.get(f"{gateway.url}/ui/data/{path}", headers=headers)
    assert said.status_code == 401
    assert said.json()["error"]["type"] == "invalid_request_error"


def test_the_operators_key_is_no_clients(gateway: Serving) -> None:
    body = {"model": "support", "messages": [{"role": "user", "content": "hi"}]}
    said = httpx.post(
        f"{gateway.url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {KEY}"}, timeout=30
    )
    assert said.status_code == 401


def test_the_page_loads_from_nowhere_else_and_nobody_frames_it(gateway: Serving) -> None:
    said = httpx.get(f"{gateway.url}/ui")
    policy = said.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in said.text.replace("http-equiv", "")
    assert httpx.post(f"{gateway.url}/ui").status_code == 405
    assert httpx.get(f"{gateway.url}/ui/../panel.py").status_code == 404


@pytest.mark.parametrize("asked", ["after=-1", "after=x", "span=week", "after=1e9", f"after={'9' * 16}"])
def test_what_cannot_be_meant_is_refused(gateway: Serving, asked: str) -> None:
    said = httpx.get(f"{gateway.url}/ui/data/look?{asked}", headers={"authorization": f"Bearer {KEY}"})
    assert said.status_code == 400


def test_another_key_opens_nothing(page: Page) -> None:
    entered(page, "tg-app")
    page.wait_for_function("document.getElementById('why').textContent.includes('not the key')")
    assert not page.is_visible("#room")


def test_an_exchange_appears_while_one_looks_and_none_of_its_text(page: Page, gateway: Serving) -> None:
    entered(page).wait_for_selector("#exchanges tbody tr")
    body = {"model": "support", "messages": [{"role": "user", "content": "a plover for <b>you</b>"}]}
    said = httpx.post(
        f"{gateway.url}/v1/chat/completions", json=body, headers={"authorization": "Bearer tg-app"}, timeout=30
    )
    assert said.status_code == 400
    page.fill("#filter", said.headers["x-request-id"])
    page.wait_for_selector("#exchanges tbody tr")
    row = page.inner_text("#exchanges tbody tr")
    assert "blocked" in row
    assert "deny[0]" in row
    page.click("#exchanges tbody tr")
    assert said.headers["x-request-id"] in page.inner_text("#one")
    assert "plover" not in page.content()


def test_charts_figures_rails_signals_and_the_map_are_there(page: Page) -> None:
    entered(page).wait_for_selector("#map canvas")
    assert page.locator(".charts canvas").count() == 4
    assert "exchanges" in page.inner_text("#facts")
    assert "jailbreak" in page.inner_text("#rails")
    page.wait_for_selector(".signal")
    assert "topics" in page.inner_text("#signals")
    page.click("#day")
    page.wait_for_function("document.getElementById('day').getAttribute('aria-pressed') === 'true'")


def test_light_and_dark_are_told_apart_and_the_key_can_be_forgotten(page: Page) -> None:
    entered(page).wait_for_selector("#exchanges tbody tr")
    ground = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ground)
    page.click("#theme")
    assert page.evaluate(ground) != before
    page.click("#leave")
    page.reload()
    assert page.is_visible("#door")


def test_it_needs_a_log_to_read_and_a_key_of_its_own(tmp_path: Path) -> None:
    same = {**SETTINGS, "ui": {"sha256": SETTINGS["keys"][0]["sha256"]}, "monitor": None, "events": {"path": "-"}}
    with pytest.raises(ConfigError) as refused:
        load(written(tmp_path / "g", same, {"support-bot": POLICY}), {})
    said = [problem.message for problem in refused.value.problems]
    assert any("`events.path` has to be a file" in message for message in said)
    assert any("is a client's key" in message for message in said)
