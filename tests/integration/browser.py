"""A real Chromium that opens pages of this machine, and remembers every host that it was asked to reach."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import Locator, Page, sync_playwright

_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking")
_PATIENCE_MS = 120_000


class Browser:
    """One page of a browser, and the hosts that it asked."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.hosts: set[str] = set()
        page.set_default_timeout(_PATIENCE_MS)
        page.context.on("request", lambda request: self._note(request.url))

    def field(self, label: str) -> Locator:
        """A field of Prefect's form for parameters, by its title; the last of that title."""
        named = self.page.locator(".schema-form-property__label").filter(has_text=label)
        return self.page.locator(".schema-form-property").filter(has=named).last

    def add(self, label: str, *values: object) -> None:
        """Add items to a list of Prefect's form."""
        field = self.field(label)
        for value in values:
            items = field.locator("textarea, input[type=number]")
            there = items.count()
            field.get_by_role("button", name="Add item").click()
            items.nth(there).fill(str(value))

    def _note(self, url: str) -> None:
        if (parts := urlsplit(url)).scheme in ("http", "https", "ws", "wss"):
            self.hosts.add(parts.hostname or "")


@contextmanager
def open_browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=list(_ARGUMENTS))
        try:
            yield Browser(started.new_page(viewport={"width": 1400, "height": 1100}, locale="en-GB"))
        finally:
            started.close()
