"""A headless Chromium, driven by Playwright: one tab, and what it reports."""

import shutil
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--renderer-process-limit=1",
)  # fmt: skip

#: How long the browser may take for anything, as long as a loaded machine ever makes it take.
_PATIENCE_MS = 600_000


class Browser:
    """One tab for each kind of window, which `open` takes again for the next page: a new one costs a second."""

    def __init__(self) -> None:
        from playwright.sync_api import sync_playwright

        assert CHROMIUM is not None
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(
            executable_path=CHROMIUM, args=list(_FLAGS), timeout=_PATIENCE_MS
        )
        self._tabs: dict[tuple[bool, bool], Any] = {}
        self._page: Any = None
        self._complaints: list[str] = []
        self._requested: list[str] = []

    def close(self) -> None:
        self._browser.close()
        self._playwright.stop()

    def open(
        self, page: Path, width: int = 1280, height: int = 900, scheme: str | None = None, scripts: bool = True
    ) -> None:
        """Load a file anew in a window of that size, with that colour scheme, with or without scripts."""
        kind = (width < 600, scripts)
        if kind not in self._tabs:
            self._tabs[kind] = self._tab(*kind)
        self._page = self._tabs[kind]
        self._page.bring_to_front()  # a page behind another is given no frames
        self._page.goto("about:blank")
        self._page.set_viewport_size({"width": width, "height": height})
        self._page.emulate_media(media="screen", color_scheme=scheme or "light")
        self._complaints.clear()
        self._requested.clear()
        self._page.goto(page.as_uri(), wait_until="load")

    def _tab(self, mobile: bool, scripts: bool) -> Any:
        context = self._browser.new_context(is_mobile=mobile, java_script_enabled=scripts, accept_downloads=True)
        context.set_default_timeout(_PATIENCE_MS)
        tab = context.new_page()
        tab.on("console", lambda message: self._complaints.append(message.text))
        tab.on("pageerror", lambda error: self._complaints.append(str(error)))
        tab.on("request", lambda request: self._requested.append(request.url))
        return tab

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; an exception there is one here."""
        return self._page.evaluate(expression)

    def click(self, element: str) -> None:
        """With the mouse, in the middle of the element that the expression gives."""
        self._page.evaluate_handle(element).as_element().click()

    def press(self, key: str) -> None:
        """A key down and up again, where the focus is."""
        self._page.keyboard.press("Space" if key == " " else key)

    def wait_for(self, expression: str) -> None:
        """Wait until the expression is true, for what the browser does in its own time."""
        check = f"const check = () => ({expression}) ? done() : requestAnimationFrame(check); check();"
        self._page.evaluate(f"new Promise((done) => {{ {check} }})")

    def download(self, element: str) -> tuple[str, bytes]:
        """The name and the content of the file that a click on the element gives."""
        with self._page.expect_download() as waiting:
            self.click(element)
        return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()

    def emulate_print(self, width: int) -> None:
        """Show the page as on paper of that width."""
        self._page.set_viewport_size({"width": width, "height": 900})
        self._page.emulate_media(media="print", color_scheme="light")  # as browsers print

    def screenshot(self, path: Path) -> None:
        """The whole page, as far as it is long."""
        self._page.screenshot(path=path, full_page=True)

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return bytes(self._page.pdf(prefer_css_page_size=True))

    def complaints(self) -> list[str]:
        """What stands in the console: errors, warnings, violations of the Content-Security-Policy."""
        return self._complaints

    def violations(self, colours: bool = True) -> list[str]:
        """The rules for accessible pages that axe finds broken; without `colours` text may be of any."""
        from axe_playwright_python.sync_playwright import Axe

        rules = {"color-contrast": {"enabled": colours}}
        found = Axe().run(self._page, options={"resultTypes": ["violations"], "rules": rules}).response
        return [broken["id"] for broken in found["violations"]]

    def requested(self) -> list[str]:
        """The address of everything that the page asked for, itself first."""
        return self._requested
