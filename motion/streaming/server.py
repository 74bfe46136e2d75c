"""Frames on a WebSocket: every client gets each frame as JSON and may say things; none can slow the stream down."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import torch
from jaxtyping import Float

from laban.errors import LabanError
from laban.network import LOOPBACK, is_loopback, listen, may_connect
from motion.primitives.frames import Frame
from motion.streaming.messages import (
    dropped_message,
    end_message,
    error_message,
    frame_message,
    hello,
    said_message,
    words_of,
)
from motion.streaming.session import Heard

if TYPE_CHECKING:
    from websockets.asyncio.server import Server, ServerConnection
    from websockets.http11 import Request, Response

QUEUE = 60
"""Frames that wait for a client, two seconds; for a slower one the oldest are dropped, and it is told how many."""
ANSWERS = 32
"""Other messages that wait for a client; the oldest are dropped."""
MOST_BYTES = 4096
"""Of one message from a client; a longer one ends the connection (close code 1009)."""
BURST, PER_SECOND = 20, 4.0
"""Messages that a client may send at once, and how fast that many become allowed again."""
MOST_CLIENTS = 32
SEND_BUFFER = 1 << 16
"""Bytes that the system keeps for a client; small, so that a slow one is soon noticed."""
PATIENCE = 20.0
"""Seconds between pings, and for their answers."""

Say = Callable[[str, str], object]
"""Words and who said them; LabanError for what cannot be said."""


@dataclass(eq=False)
class _Client:
    """One connection: what waits to be sent to it."""

    name: str
    positions: bool
    frames: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=QUEUE))
    answers: deque[str] = field(default_factory=lambda: deque(maxlen=ANSWERS))
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    following: int | None = None
    """The number of the frame after the last one that was sent."""
    allowance: float = BURST
    counted: float = field(default_factory=time.monotonic)

    def offer(self, index: int, message: str) -> None:
        """Queue a frame; the oldest makes room."""
        self.frames.append((index, message))
        self.waiting.set()

    def answer(self, message: str) -> None:
        """Queue anything else, which goes first."""
        self.answers.append(message)
        self.waiting.set()

    def may_send(self) -> bool:
        """Whether a message just received is within the rate that is allowed."""
        now = time.monotonic()
        self.allowance = min(BURST, self.allowance + (now - self.counted) * PER_SECOND)
        self.counted = now
        self.allowance -= 1
        return self.allowance >= 0


class FrameServer:
    """Serves a session's frames at `url` until it is closed; a sink of the session, and one of its listeners.

    Works on a thread of its own. Raises LabanError when the port is in use. Pages of other origins are refused (403),
    see `laban.network.may_connect`. `?positions=1` in a client's address adds joint positions.
    """

    def __init__(
        self, say: Say, rest: Float[torch.Tensor, "22 3"], *, host: str = LOOPBACK, port: int = 8765
    ) -> None:  # fmt: skip
        _websockets()
        self._say, self._rest, self._host = say, rest, host
        self._socket = listen(host, port, "--port")
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self.port: int = self._socket.getsockname()[1]
        self._clients: set[_Client] = set()
        self._latest: deque[Frame] = deque(maxlen=QUEUE)
        self._scheduled, self._shown = threading.Lock(), 0
        self._ready, self._loop = threading.Event(), asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="frames server", daemon=True)
        self._thread.start()
        self._ready.wait(10)

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"ws://{f'[{self._host}]' if ':' in self._host else self._host}:{self.port}/"

    @property
    def only_here(self) -> bool:
        """Whether no other machine can connect."""
        return is_loopback(self._host)

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._clients)

    def __call__(self, frame: Frame) -> None:
        """Send a frame to everybody; returns at once."""
        self._shown += 1
        if not self._clients:
            return
        self._latest.append(frame)
        if self._scheduled.acquire(blocking=False):  # one hand-over at a time: a busy loop is not flooded
            self._on_loop(self._offer_latest)

    def heard(self, heard: Heard) -> None:
        """Tell everybody what was said."""
        message = said_message(heard)

        def answer() -> None:
            for client in self._clients:
                client.answer(message)

        self._on_loop(answer)

    def close(self) -> None:
        """Say how many frames there were, close all connections and free the port."""
        if not self._loop.is_closed():
            self._on_loop(self._closing.set)
        self._thread.join(5)

    def _on_loop(self, what: Callable[[], Any]) -> None:
        with contextlib.suppress(RuntimeError):  # closed meanwhile
            self._loop.call_soon_threadsafe(what)

    def _offer_latest(self) -> None:
        self._scheduled.release()
        while self._latest:
            frame = self._latest.popleft()
            made: dict[bool, str] = {}
            for client in self._clients:
                if client.positions not in made:
                    made[client.positions] = frame_message(frame, self._rest, positions=client.positions)
                client.offer(frame.index, made[client.positions])

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._ready.set()
            self._loop.close()

    async def _serve(self) -> None:
        from websockets.asyncio.server import serve

        async with serve(
            self._attend, sock=self._socket, process_request=self._admit, compression=None, max_size=MOST_BYTES,
            ping_interval=PATIENCE, ping_timeout=PATIENCE, close_timeout=1, max_queue=8, write_limit=SEND_BUFFER,
        ) as server:  # fmt: skip
            self._ready.set()
            await self._closing.wait()
            await self._part(server)

    async def _part(self, server: Server) -> None:
        """Let every client have what still waits for it and the last message, a second at most."""
        message = end_message(self._shown)
        for client in self._clients:
            client.answer(message)
        for _ in range(50):
            if not any(client.answers for client in self._clients):
                break
            await asyncio.sleep(0.02)
        server.close()
        await server.wait_closed()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuse pages of strangers, before anything else."""
        if may_connect(request.headers.get("Origin"), request.headers.get("Host"), self._host):
            return None
        found = request.headers.get("Origin")
        return connection.respond(403, f"origin {found} may not connect; accepted: pages of this machine\n")

    async def _attend(self, connection: ServerConnection) -> None:
        """One client from its first message to its last."""
        from websockets.exceptions import ConnectionClosed

        query = parse_qs(urlsplit(connection.request.path if connection.request else "").query)
        address = connection.remote_address or ("unknown", 0)
        client = _Client(f"{address[0]}:{address[1]}", query.get("positions", ["0"])[-1] not in ("", "0"))
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            if len(self._clients) >= MOST_CLIENTS:
                await connection.send(error_message(f"{MOST_CLIENTS} clients are connected; accepted: no more"))
                await connection.close(1013, "too many clients")
                return
            await connection.send(hello(self._rest, positions=client.positions))
            self._clients.add(client)
            sending = asyncio.create_task(_send(connection, client))
            try:
                await self._listen(connection, client)
            finally:
                self._clients.discard(client)
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    async def _listen(self, connection: ServerConnection, client: _Client) -> None:
        async for message in connection:
            if not client.may_send():
                told = f"more than {BURST} messages at once; accepted: {PER_SECOND:g} a second"
                await asyncio.wait_for(connection.send(error_message(told)), 1)
                await connection.close(1008, "too many messages")
                return
            try:
                words = words_of(message)
                await asyncio.get_running_loop().run_in_executor(None, self._say, words, client.name)
            except LabanError as error:
                client.answer(error_message(str(error)))


async def _send(connection: ServerConnection, client: _Client) -> None:
    """Send what waits for a client, as fast as it takes it."""
    from websockets.exceptions import ConnectionClosed

    with contextlib.suppress(ConnectionClosed):
        while True:
            await client.waiting.wait()
            client.waiting.clear()
            while client.answers or client.frames:
                if client.answers:
                    await connection.send(client.answers.popleft())
                    continue
                index, message = client.frames.popleft()
                if client.following is not None and index > client.following:
                    await connection.send(dropped_message(index - client.following))
                client.following = index + 1
                await connection.send(message)


def _websockets() -> None:
    try:
        import websockets.asyncio.server  # noqa: F401
    except ImportError as error:
        said = f"package websockets is missing ({error}); run: pip install 'laban[stream]'"
        raise LabanError(f"--serve: {said}") from None
