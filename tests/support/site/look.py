# Copyright: (c) 2026, gpuserve.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at every page of the docs site in headless Chromium: its console, whether a phone has to scroll sideways, and what axe-core finds.

Run by the release venv's Python: python -m tests.support.site.look SITE AXE_SCRIPT [--screenshots FOLDER]
"""

from __future__ import annotations

import argparse
import functools
import http.server
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

WIDTHS = {"narrow": 360, "wide": 1280}
# What a script that is not ours, or a level above AA, would ask for is not looked for.
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# Sphinx's own pages without content of ours.
_NOT_OURS = ("genindex.html", "search.html", "py-modindex.html")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """A server of files that logs nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def serve(site: Path) -> http.server.ThreadingHTTPServer:
    """Serve a folder on a free port of loopback."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def findings_of_page(page: Page, axe: str, address: str, width: int) -> Iterator[str]:
    """Say what is wrong with a page at a width."""
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(address, wait_until="load")
    over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if over > 0:
        yield f"it is {over} pixels wider than the screen"
    page.evaluate(axe)
    found = page.evaluate("rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']})", _RULES)
    for violation in found["violations"]:
        where = ", ".join(str(node["target"][0]) for node in violation["nodes"][:3])
        yield f"axe-core: {violation['id']}: {violation['help']} ({len(violation['nodes'])}: {where})"


def listen(page: Page, home: str) -> list[str]:
    """Return a list that fills with what a page says of errors, and with what it asks for elsewhere: companies have no way there."""
    loud: list[str] = []
    page.on("console", lambda message: loud.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: loud.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(home) else loud.append(f"asks {request.url}"))
    return loud


def findings_of_site(site: Path, axe: str, screenshots: Path | None) -> tuple[int, list[str]]:
    """Return how many pages were looked at, and all that is wrong."""
    said: list[str] = []
    pages = sorted(path for path in site.rglob("*.html") if path.name not in _NOT_OURS)
    server = serve(site)
    home = f"http://127.0.0.1:{server.server_port}/"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, width in WIDTHS.items():
            page = browser.new_page()
            loud = listen(page, home)
            for path in pages:
                loud.clear()
                problems = list(findings_of_page(page, axe, home + path.relative_to(site).as_posix(), width))
                said += [f"{path.relative_to(site)} ({name}): {problem}" for problem in [*loud, *problems]]
                if screenshots:
                    page.screenshot(path=screenshots / f"{path.stem}-{name}.png")
            page.close()
        browser.close()
    server.shutdown()
    return len(pages), said


def main() -> int:
    """Print what is wrong with the site, and return 1 where something is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path)
    parser.add_argument("axe", type=Path)
    parser.add_argument("--screenshots", type=Path)
    given = parser.parse_args()
    if given.screenshots:
        given.screenshots.mkdir(parents=True, exist_ok=True)
    pages, said = findings_of_site(given.site, given.axe.read_text(encoding="utf-8"), given.screenshots)
    print("\n".join(said))
    print(f"{pages} pages, {len(WIDTHS)} widths: {len(said)} problems.")
    return 1 if said or not pages else 0


if __name__ == "__main__":
    sys.exit(main())
