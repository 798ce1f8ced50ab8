"""Pictures of `/ui`, light and dark: `make pictures`."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from support.panel_gateway import KEY, shown
from support.serving import Serving


def main() -> None:
    out = Path(sys.argv[1])
    out.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="ui"))
    try:
        with shown(folder) as gateway, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            for scheme in ("light", "dark"):
                taken(browser, gateway, scheme, out / f"ui-{scheme}.png")
    finally:
        shutil.rmtree(folder)


def taken(browser: Browser, gateway: Serving, scheme: str, file: Path) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]  # a str that is one of its literals
    page.goto(f"{gateway.url}/ui")
    page.fill("#key", KEY)
    page.click("#door button")
    page.wait_for_selector("#map canvas")
    page.wait_for_selector("#exchanges tbody tr")
    page.click("#exchanges tbody tr:nth-child(2)")
    page.screenshot(path=file, full_page=True)
    page.close()


if __name__ == "__main__":
    main()
