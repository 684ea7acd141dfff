"""A real browser before the gateway: the machine's own Chromium, driven by playwright.

Everything a page must not do is noted while a test runs (``Watch``) and judged at its end.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Page, Request

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
NO_BROWSER = "no chromium on this machine (Debian: apt-get install chromium)"

_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`violation: ${event.violatedDirective} ${event.blockedURI}`));
"""
# A browser notes every answer of 4xx as an error; which of them a test brings about it says itself.
_ANSWERED = re.compile(r"Failed to load resource: the server responded with a status of (\d{3})")


class Watch:
    """What a page says and asks for. ``expected`` are statuses that may come, ``away`` says whether
    the gateway may be."""

    def __init__(self, page: Page, url: str) -> None:
        self.expected: set[int] = {401}  # whoever opens the page is asked to sign in
        self.away = False
        self.asked: list[str] = []
        self._url = url
        self._errors: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._errors.append(f"uncaught: {error}"))
        page.on("request", self._request)
        page.add_init_script(_VIOLATIONS)

    def faults(self) -> list[str]:
        """Errors, violations of the policy, and requests to elsewhere."""
        elsewhere = [
            url for url in self.asked if not url.startswith((f"{self._url}/admin", "data:"))
        ]
        return [*self._errors, *(f"asked {url}" for url in elsewhere)]

    def _request(self, request: Request) -> None:
        self.asked.append(request.url)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        status = _ANSWERED.match(message.text)
        if status and int(status[1]) in self.expected:
            return
        if self.away and "net::ERR_" in message.text:
            return
        self._errors.append(message.text)
