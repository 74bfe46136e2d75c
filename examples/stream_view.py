"""The picture of the live view in the README: a person streamed from words, as a headless Chromium shows them.

    PYTHONPATH=. .venv/bin/python examples/stream_view.py docs/stream.png [CHECKPOINT] [WORDS ...]

Needs Chromium and the extra `laban[stream]`; without a GPU a picture takes some seconds.
"""

from __future__ import annotations

import io
import sys
import tempfile
import threading
import time
from pathlib import Path

from PIL import Image

from laban.files import atomic_path
from models.body.model import load_body
from motion.primitives.stream import MotionStream
from motion.streaming.session import Session
from tests.streaming_browser import Browser, find_chromium
from viz.live import LiveView, Panel

WORDS = ("walk forward", "wave with the right hand")
SECONDS = 3.0
"""Of each word but the last, of which the picture is taken after half of that."""


def main() -> None:
    """Say the words one after the other, take the picture while the last is done, and write it."""
    target, checkpoint = Path(sys.argv[1]), (*sys.argv[2:3], "primitives_research")[0]
    words = tuple(sys.argv[3:]) or WORDS
    program = find_chromium()
    if program is None:
        sys.exit("no chromium on this machine")
    session = Session(MotionStream(checkpoint))
    view = LiveView(
        Panel(session.say, lambda on: "", lambda: f"{session.speed.fps:.0f} fps · {session.speed.frames / 30:.0f} s"),
        load_body(),
        port=0,
    )
    session.sinks.append(lambda frame: view.show(frame.index, frame.rotations, frame.root, frame.text))
    session.listeners.append(lambda h: view.heard(h.said.text, h.said.leaning, sure=h.said.sure))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, Path(profile), (1280, 720))
        try:
            browser.open(view.url)
            browser.wait("!!document.querySelector('form input')", 120)
            performing = threading.Thread(target=session.run, daemon=True)
            performing.start()
            for word in words:
                session.say(word, "the page")
                time.sleep(SECONDS / 2 if word == words[-1] else SECONDS)
            session.stop()  # the pose stays, so that a slow browser has time to draw it
            performing.join()
            browser.look("document.querySelectorAll('.mantine-Notification-closeButton').forEach(e => e.click())")
            time.sleep(15)
            picture = Image.open(io.BytesIO(browser.picture())).convert("RGB")
        finally:
            browser.close()
            view.close()
    with atomic_path(target) as temporary:
        picture.save(temporary, optimize=True)
    print(f"{target}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
