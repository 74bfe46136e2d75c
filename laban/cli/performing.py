"""How `laban stream` performs: prompt, page, socket and files around one stream, and what is left when it ends."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from laban.cli.generate import Files, check_outputs
from laban.errors import LabanError

if TYPE_CHECKING:
    from motion.streaming.recorder import Recorder
    from motion.streaming.script import Script
    from motion.streaming.session import Heard, Session, Stream

QUIT = ("", "q", "quit", "exit")
"""Lines that end the prompt."""
FOLDER = Path("out")
"""Where recordings go that nobody has named."""
MOST_SAID = 1000
"""Of what was said the last so many are reported."""


@dataclass(frozen=True)
class Asked:
    """What a performance consists of; `serve` and `view` are ports, None where there is none."""

    outputs: list[Path] = field(default_factory=list)
    script: Script | None = None
    frames: int | None = None
    fast: bool = False
    prompt: bool = False
    """Lines of standard input are said as they come."""
    serve: int | None = None
    view: int | None = None
    host: str = "127.0.0.1"
    skeleton: bool = False


@dataclass(frozen=True)
class Performed:
    """What came of it."""

    frames: int
    lost: float
    said: list[dict[str, Any]]
    files: list[str]


def perform(stream: Stream, asked: Asked, files: Files) -> Performed:
    """Run a stream as asked, until its end, Ctrl-C or SIGTERM, and write what was recorded.

    A failure of the stream is raised after the recording is written. Raises LabanError for ports in use.
    """
    from motion.streaming.session import Session

    session = Session(stream, script=asked.script, frames=asked.frames, fast=asked.fast)
    said: deque[dict[str, Any]] = deque(maxlen=MOST_SAID)
    session.listeners.append(lambda heard: said.append(_plain(heard, session)))
    tapes = Tapes(session, files)
    with _signals(session):
        try:
            with ExitStack() as open_things:
                _serve(session, asked, open_things)
                _view(session, tapes, asked, files, open_things)
                if asked.prompt or asked.view is not None or asked.serve is not None:
                    session.listeners.append(_told)
                if asked.outputs:
                    tapes.start(asked.outputs)
                if asked.prompt:
                    _prompt(session)
                session.run()
        finally:
            tapes.finish()
    return Performed(session.speed.frames, session.speed.lost, list(said), tapes.written)


class Tapes:
    """The recordings of a session: each a spool while it runs, and files afterwards."""

    def __init__(self, session: Session, files: Files) -> None:
        self._session, self._files = session, files
        self._running: list[tuple[Recorder, list[Path]]] = []
        self._button: Recorder | None = None
        self._changing = threading.RLock()
        self.written: list[str] = []

    def start(self, outputs: list[Path]) -> Recorder:
        """Record from now on, to be written to `outputs`."""
        from motion.streaming.recorder import SUFFIX, Recorder

        with self._changing:
            first = outputs[0]
            recorder = Recorder(free(first.with_suffix(SUFFIX)))
            self._running.append((recorder, outputs))
            self._session.sinks.append(recorder)
        tell(f"recording to {recorder.folder} (after a crash: laban stream --recover {recorder.folder} -o {first})")
        return recorder

    def switch(self, on: bool) -> str:
        """Start or end the recording of the page's button; what to tell about it."""
        with self._changing:
            if on:
                self._button = self.start([free(FOLDER / f"stream-{stamp()}.npz")])
                return ""
            button, self._button = self._button, None
            names = [name for recorder, outputs in list(self._running) if recorder is button
                     for name in self._end(recorder, outputs)]  # fmt: skip
        return f"{', '.join(names)} written" if names else "nothing was recorded"

    def finish(self) -> None:
        """End all recordings; every one is tried, the first failure is raised."""
        failed: list[BaseException] = []
        with self._changing:
            for recorder, outputs in list(self._running):
                try:
                    self._end(recorder, outputs)
                except (LabanError, OSError, MemoryError, KeyboardInterrupt) as error:
                    tell(f"kept: laban stream --recover {recorder.folder} -o {outputs[0]}")
                    failed.append(error)
        if failed:
            raise failed[0]

    def _end(self, recorder: Recorder, outputs: list[Path]) -> list[str]:
        from motion.streaming.recorder import read_spool

        self._running.remove((recorder, outputs))
        if recorder in self._session.sinks:
            self._session.sinks.remove(recorder)
        recorder.close()
        spool = read_spool(recorder.folder)
        if spool.frames == 0:
            spool.delete()
            return []
        names = write_spool(recorder.folder, outputs, self._files)
        self.written += names
        spool.delete()
        return names


def write_spool(folder: Path, outputs: list[Path], files: Files) -> list[str]:
    """The files of a recording; those of more than half an hour are several, `a.npz`, `a-2.npz` and so on."""
    from laban.scores import write_timeline
    from motion.streaming.recorder import read_spool

    spool = read_spool(folder)
    if spool.frames == 0:
        raise LabanError(f"{folder}: holds no whole frame; there is nothing to write")
    if spool.seconds > 60:
        tell(f"writing {spool.seconds:.0f} s")
    names: list[str] = []
    for number, (motion, timeline) in enumerate(spool.parts(), 1):
        paths = [path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}") for path in outputs]
        for path in paths:
            if _is_score(path):
                write_timeline(path, timeline)
                names.append(str(path))
            else:
                names += files.write(motion, [path])
    return names


def checked_outputs(outputs: list[Path]) -> list[Path]:
    """The files to write; LabanError, before any work, for one that cannot be."""
    scores = [path for path in outputs if _is_score(path)]
    for path in scores:
        check_outputs([path.with_suffix(".npz")], 1)
    motions = [path for path in outputs if path not in scores]
    return (check_outputs(motions, 1)[0] if motions else []) + scores


def _is_score(path: Path) -> bool:
    from laban.scores import READERS

    return path.suffix.lower() in READERS


def stamp() -> str:
    """The time as part of a file's name."""
    return time.strftime("%Y%m%d-%H%M%S")


def free(path: Path) -> Path:
    """`path`, or the first of `path-2`, `path-3` … that does not exist yet."""
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def tell(line: str) -> None:
    """Something for the person at the terminal, beside the results on stdout."""
    with suppress(OSError):  # a terminal that was closed must not keep files from being written
        print(line, file=sys.stderr, flush=True)


def _serve(session: Session, asked: Asked, open_things: ExitStack) -> None:
    if asked.serve is None:
        return
    from models.body.model import load_body
    from models.body.skeleton import NUM_BODY
    from motion.streaming.server import FrameServer

    rest = load_body().joint_template[:NUM_BODY]
    server = FrameServer(session.say, rest, host=asked.host, port=asked.serve)
    open_things.callback(server.close)
    session.sinks.append(server)
    session.listeners.append(server.heard)
    tell(f"frames at {server.url}" + ("" if server.only_here else _exposed(asked.host)))


def _view(session: Session, tapes: Tapes, asked: Asked, files: Files, open_things: ExitStack) -> None:
    if asked.view is None:
        return
    from models.body.model import load_body
    from viz.live import LiveView, Panel

    def speed() -> str:
        now = session.speed
        return f"{now.fps:.0f} fps · {now.frames / 30:.0f} s" + (f" · {now.lost:.1f} s late" if now.lost > 0.05 else "")

    panel = Panel(session.say, tapes.switch, speed)
    view = LiveView(panel, load_body(files.body), skeleton=asked.skeleton, host=asked.host, port=asked.view)
    open_things.callback(view.close)
    session.sinks.append(lambda frame: view.show(frame.index, frame.rotations, frame.root, frame.text))
    session.listeners.append(lambda h: view.heard(h.said.text, h.said.leaning, sure=h.said.sure))
    tell(f"look at {view.url}" + ("" if view.only_here else _exposed(asked.host)))


def _exposed(host: str) -> str:
    return f" - WARNING: --host {host} lets other machines connect, without any password"


def _plain(heard: Heard, session: Session) -> dict[str, Any]:
    said = heard.said
    return {"frame": session.speed.frames, "by": heard.by, "text": said.text, "leaning": said.leaning,
            "sure": said.sure}  # fmt: skip


def _told(heard: Heard) -> None:
    who = "" if heard.by in ("", "prompt") else f"[{heard.by}] "
    tell(f"  {who}{heard.line()}")


@contextmanager
def _signals(session: Session) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal end the performance; a second Ctrl-C ends the writing too.

    A closed terminal does not where it is ignored, as `nohup` has it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        if session.ended and number == signal.SIGINT:
            raise KeyboardInterrupt
        session.stop()

    outlives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    kinds = (signal.SIGINT, signal.SIGTERM) if outlives else (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {kind: signal.signal(kind, end) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _prompt(session: Session) -> None:
    """Say the lines of standard input as they come; on a terminal an empty line, `quit` or Ctrl-D ends."""
    terminal = sys.stdin.isatty()
    if terminal:
        tell("type what the person should do; an empty line, quit or Ctrl-D ends")

    def listen() -> None:
        for line in _lines(sys.stdin.fileno(), lambda: session.ended):
            if line.strip().lower() in QUIT:
                if terminal or line.strip():
                    session.stop()
                    return
                continue
            try:
                session.say(line, "prompt")
            except LabanError as error:
                tell(f"  {error}")
        if terminal:
            session.stop()

    threading.Thread(target=listen, name="prompt", daemon=True).start()


def _lines(descriptor: int, ended: Callable[[], bool]) -> Iterator[str]:
    """Lines of a terminal or pipe, read without Python's buffers, which a waiting thread would keep locked at exit."""
    kept = b""
    while not ended():
        if not select.select([descriptor], [], [], 0.1)[0]:
            continue
        piece = os.read(descriptor, 4096)
        kept += piece
        while b"\n" in kept or (kept and not piece):
            line, _, kept = kept.partition(b"\n")
            yield line.decode("utf-8", "replace")
        if not piece:
            return
        kept = kept[-65536:]


def in_foreground() -> bool:
    """Whether standard input is a terminal that this process may read."""
    if sys.stdin is None or not sys.stdin.isatty():
        return False
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:  # a terminal, but not the one that started this
        return True
