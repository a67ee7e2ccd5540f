"""A headless Chromium over its DevTools pipe: nothing but the browser is needed.

The protocol is JSON, each message ended by a zero byte; Chromium reads from descriptor 3 and writes to 4.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

#: The keys that are pressed, with their code for Windows, as the protocol wants it, and the text they type.
KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), " ": (32, " "), "ArrowRight": (39, ""), "End": (35, "")}


class Browser:
    """One tab. `events` are all that the browser has reported since the last `open`."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        from_us, self._to = os.pipe()
        self._from, to_us = os.pipe()
        theirs = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 10) for descriptor in (from_us, to_us)]
        flags = (
            "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
            "--disable-component-update --disable-sync --disable-dev-shm-usage --remote-debugging-pipe"
        )
        self._process = subprocess.Popen(
            ["bash", "-c", 'exec "$0" "$@" 3<&{} 4>&{}'.format(*theirs), CHROMIUM, *flags.split(),
             f"--user-data-dir={profile}", "about:blank"],
            pass_fds=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for descriptor in (from_us, to_us, *theirs):
            os.close(descriptor)
        self._buffer = b""
        self._last = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        try:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
        except BaseException:
            self._end()
            raise

    def close(self) -> None:
        self._session = None
        try:
            self.call("Browser.close")
            self._process.wait(20)
        finally:
            self._end()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Its answer; an error of the protocol's is an AssertionError."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        while True:
            answer = self._receive()
            if answer.get("id") == self._last:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])
            self.events.append(answer)

    def wait_for(self, method: str, **wanted: Any) -> dict[str, Any]:
        """The event's parameters, of one that has come or is to come."""
        seen = 0
        while True:
            for event in self.events[seen:]:
                parameters = event.get("params", {})
                if event.get("method") == method and wanted.items() <= parameters.items():
                    return dict(parameters)
            seen = len(self.events)
            self.events.append(self._receive())

    def _receive(self, within: float = 60) -> dict[str, Any]:
        end = time.monotonic() + within
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], max(0, end - time.monotonic()))
            assert ready, f"the browser has said nothing for {within} s"
            read = os.read(self._from, 1 << 20)
            assert read, "the browser has ended"
            self._buffer += read
        line, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(line))

    def open(self, page: Path, width: int = 1280, height: int = 900, **media: str) -> None:
        """Load a file in a window of that size; `media` are features such as `prefers_color_scheme`."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
        self.call("Emulation.setEmulatedMedia", media="", features=features)
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        self.wait_for("Page.loadEventFired")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; an exception there is one here."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def click(self, element: str) -> None:
        """With the mouse, in the middle of the element that the expression gives."""
        x, y = self.evaluate(
            f"""(() => {{
                const element = {element};
                element.scrollIntoView({{ block: "center", inline: "center" }});
                const box = element.getBoundingClientRect();
                return [box.x + box.width / 2, box.y + box.height / 2];
            }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        """A key down and up again, where the focus is."""
        code, text = KEYS[key]
        shared = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": code}
        down = {"text": text} if text else {}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **shared, **down)
        self.call("Input.dispatchKeyEvent", type="keyUp", **shared)

    def screenshot(self, path: Path) -> None:
        """The whole page, as far as it is long."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip={**size, "scale": 1})["data"]
        path.write_bytes(base64.b64decode(data))

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True)["data"])

    def complaints(self) -> list[str]:
        """What stands in the console: errors, warnings, violations of the Content-Security-Policy."""
        said = []
        for event in self.events:
            parameters = event.get("params", {})
            match event.get("method"):
                case "Log.entryAdded":
                    said.append(parameters["entry"]["text"])
                case "Runtime.exceptionThrown" | "Runtime.consoleAPICalled":
                    said.append(json.dumps(parameters))
        return said

    def requested(self) -> list[str]:
        """The address of everything that the page asked for, itself first."""
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]
