"""A headless Chromium that tests drive over its DevTools socket: open a page, type, look, take a picture."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--remote-debugging-port=0", "--remote-allow-origins=*", "--hide-scrollbars",
)  # fmt: skip


def find_chromium() -> str | None:
    """The program, where there is one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


class Browser:
    """One page of `size` pixels; `profile` is an empty folder."""

    def __init__(self, program: str, profile: Path, size: tuple[int, int] = (1280, 800)) -> None:
        from websockets.sync.client import connect

        command = [program, *FLAGS, f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._count = 0
        port = self._port(profile / "DevToolsActivePort")
        self._socket = connect(f"ws://127.0.0.1:{port[0]}{port[1]}", max_size=None, compression=None)
        target = next(t for t in self._ask("Target.getTargets")["targetInfos"] if t["type"] == "page")
        attached = self._ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        screen = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", **screen)

    def _port(self, file: Path) -> tuple[str, str]:
        for _ in range(300):
            lines = file.read_text().split() if file.is_file() else []
            if len(lines) == 2:
                return lines[0], lines[1]
            time.sleep(0.1)
        raise TimeoutError("chromium did not start within 30 s")

    def _ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        self._socket.send(json.dumps(message | ({"sessionId": session} if session else {})))
        while True:
            answer = json.loads(self._socket.recv(timeout=150))
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A DevTools command to the page."""
        return self._ask(method, self._session, **parameters)

    def open(self, url: str) -> None:
        self.ask("Page.navigate", url=url)

    def look(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        result = self.ask("Runtime.evaluate", expression=script, returnByValue=True)["result"]
        return result.get("value")

    def wait(self, script: str, seconds: float = 30.0) -> Any:
        """Until the expression is true."""
        end = time.monotonic() + seconds
        while not (value := self.look(script)):
            if time.monotonic() > end:
                raise TimeoutError(f"after {seconds:g} s still not: {script}")
            time.sleep(0.1)
        return value

    def type(self, text: str) -> None:
        """Into whatever has the focus, then Enter."""
        self.ask("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13,
                     text="\r")  # fmt: skip

    def picture(self) -> bytes:
        """A PNG of the page."""
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])

    def close(self) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(10)
