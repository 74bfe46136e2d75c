"""The frames server on real sockets: what clients get, and that none of them can slow, stop or misuse the stream."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import numpy as np
import pytest
import torch

from laban.errors import LabanError
from laban.network import is_loopback, may_connect
from models.body.kinematics import forward_kinematics
from models.body.model import load_body
from models.rotations import quaternion_to_matrix
from motion.streaming.messages import words_of
from motion.streaming.session import Session
from tests.streaming_walk import Walker

pytest.importorskip("websockets")
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402
from websockets.sync.client import ClientConnection, connect  # noqa: E402

from motion.streaming.server import BURST, MOST_BYTES, QUEUE, FrameServer  # noqa: E402

REST = load_body().joint_template[:22]


@contextmanager
def serving(stream: Walker) -> Iterator[tuple[Session, FrameServer]]:
    """A stream in real time and its server."""
    session = Session(stream)
    server = FrameServer(session.say, REST, port=0)
    session.sinks.append(server)
    session.listeners.append(server.heard)
    performing = threading.Thread(target=session.run, daemon=True)
    performing.start()
    try:
        yield session, server
    finally:
        session.stop()
        performing.join(5)
        server.close()


def client(server: FrameServer, query: str = "", **options) -> ClientConnection:
    return connect(server.url + query, **{"compression": None, "close_timeout": 0.5, **options})


def receive(connection: ClientConnection, kind: str) -> dict:
    """The next message of a kind."""
    while True:
        message = json.loads(connection.recv(timeout=5))
        if message["type"] == kind:
            return message


def read_to_the_end(connection: ClientConnection) -> tuple[list[str], int]:
    """What still comes, and the code that the connection is closed with."""
    messages: list[str] = []
    try:
        while True:
            messages.append(str(connection.recv(timeout=5)))
    except ConnectionClosed as closed:
        return messages, closed.rcvd.code if closed.rcvd is not None else 0


def test_frames_are_what_the_stream_makes() -> None:
    with serving(Walker("walk")) as (session, server), client(server, "?positions=1") as one:
        hello = receive(one, "hello")
        assert (hello["fps"], len(hello["joints"]), hello["joints"][0]) == (30, 22, "pelvis")
        assert hello["parents"][:5] == [-1, 0, 0, 0, 1]
        np.testing.assert_allclose(hello["rest_joints"], REST.numpy(), atol=1e-5)
        got = [receive(one, "frame") for _ in range(20)]
    assert [f["index"] for f in got] == list(range(got[0]["index"], got[0]["index"] + 20))
    frames = {frame.index: frame for frame in islice(Walker("walk"), 100)}
    for message in got:
        frame = frames[message["index"]]
        rotations = quaternion_to_matrix(torch.tensor(message["quaternions"]))
        np.testing.assert_allclose(rotations, frame.rotations, atol=1e-4)
        np.testing.assert_allclose(message["root"], frame.root, atol=1e-5)
        places, _ = forward_kinematics(torch.from_numpy(frame.rotations), REST, torch.from_numpy(frame.root))
        np.testing.assert_allclose(message["positions"], places, atol=1e-4)
        assert (message["text"], message["seconds"]) == ("walk", pytest.approx(frame.index / 30, abs=1e-4))


def test_several_clients_say_things_and_all_hear_them() -> None:
    with serving(Walker()) as (session, server), client(server) as one, client(server) as two, client(server) as three:
        two.send('{"say": "walk"}')
        said = [receive(connection, "said") for connection in (one, two, three)]
        assert said[0] == said[1] == said[2]
        assert (said[0]["text"], said[0]["sure"]) == ("walk", True)
        for connection in (one, two, three):
            for _ in range(60):
                if receive(connection, "frame")["text"] == "walk":
                    break
            else:
                pytest.fail("nobody walked within two seconds")
        two.send('{"say": "xyzzy"}')
        assert receive(one, "said")["sure"] is False
        assert "positions" not in receive(one, "frame")


def test_clients_that_vanish_stop_nothing() -> None:
    with serving(Walker("walk")) as (session, server), client(server) as stays:
        for polite in (True, False):
            goes = client(server)
            receive(goes, "frame")
            goes.close() if polite else goes.socket.close()
        before = receive(stays, "frame")["index"]
        for _ in range(30):
            after = receive(stays, "frame")["index"]
        assert after == before + 30
        end = time.monotonic() + 3
        while server.clients > 1 and time.monotonic() < end:
            time.sleep(0.02)
        assert server.clients == 1 and not session.ended


def test_a_slow_client_gets_the_newest_frames_and_is_told_what_it_missed() -> None:
    server = FrameServer(lambda text, by: None, REST, port=0)
    try:
        with client(server, max_queue=1) as slow:
            receive(slow, "hello")
            while not server.clients:
                time.sleep(0.01)
            held, stream, count = 0.0, Walker("walk"), 3000
            for frame in islice(stream, count):
                start = time.monotonic()
                server(frame)
                held += time.monotonic() - start
                if frame.index % 20 == 0:
                    time.sleep(0.01)
            received, dropped, index = 0, 0, -1
            while index < count - 1:
                message = json.loads(slow.recv(timeout=5))
                if message["type"] == "dropped":
                    dropped += message["frames"]
                else:
                    received, index = received + 1, message["index"]
                    assert index + 1 == received + dropped
    finally:
        server.close()
    assert dropped > 500 and received >= QUEUE
    assert held < 5  # seconds that all frames together held the stream up, on a busy machine; else 0.1


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("garbage", "no JSON"), ("{", "no JSON"), ("[" * 3000, "no JSON"), ("[]", "'[]'"), ('{"say": 3}', "accepted"),
        ('{"say": "walk", "x": 1}', "accepted"), ("null", "accepted"), ('{"say": ""}', "found nothing said"),
        ('{"say": "\\u0000"}', "found nothing said"), ('{"say": "' + "a" * 400 + '"}', "400 characters"),
        (b"\x00\xff", "binary"),
    ],
)  # fmt: skip
def test_malformed_messages_are_answered_and_the_stream_goes_on(message, says) -> None:
    with serving(Walker("walk")) as (session, server), client(server) as one:
        one.send(message)
        assert says in receive(one, "error")["error"]
        receive(one, "frame")
        one.send('{"say": "wave"}')
        assert receive(one, "said")["text"] == "wave"


def test_words_are_taken_as_they_are() -> None:
    assert words_of('{"say": "take a bow, \\u00fcber"}') == "take a bow, über"
    with pytest.raises(LabanError, match="too deeply nested|no JSON"):
        words_of("[" * 100_000)


def test_a_flood_is_told_and_cut_off_while_others_go_on() -> None:
    with serving(Walker("walk")) as (session, server), client(server) as calm, client(server) as flood:
        with contextlib.suppress(ConnectionClosed):
            for _ in range(BURST * 20):
                flood.send('{"say": "walk"}')
        messages, code = read_to_the_end(flood)
        assert code == 1008
        assert any(f"more than {BURST} messages" in message for message in messages)
        receive(calm, "frame")
        assert not session.ended


def test_a_message_too_long_ends_that_connection_alone() -> None:
    with serving(Walker("walk")) as (session, server), client(server) as calm, client(server) as loud:
        loud.send("x" * (MOST_BYTES + 1))
        assert read_to_the_end(loud)[1] == 1009
        receive(calm, "frame")
        assert not session.ended


def test_pages_of_strangers_are_refused() -> None:
    with serving(Walker()) as (session, server):
        strangers = ("https://evil.example", "null", "http://localhost.evil.example", "http://evil.example:%d")
        for origin in (stranger.replace("%d", str(server.port)) for stranger in strangers):
            with pytest.raises(InvalidStatus) as refused:
                client(server, origin=origin)
            assert refused.value.response.status_code == 403
        for origin in ("http://localhost:5173", "http://127.0.0.1", "https://[::1]:8443"):
            with client(server, origin=origin) as one:
                receive(one, "hello")


def test_who_may_connect_when_other_machines_may() -> None:
    assert may_connect("http://10.0.0.5:8080", "10.0.0.5:8080", "0.0.0.0")
    assert not may_connect("http://10.0.0.5:8080", "10.0.0.5:8080", "127.0.0.1")
    assert not may_connect("http://evil.example", "10.0.0.5:8080", "0.0.0.0")
    assert may_connect(None, None, "127.0.0.1")
    assert [is_loopback(host) for host in ("localhost", "127.0.0.2", "::1", "0.0.0.0", "", "example.org")] == [
        True, True, True, False, False, False]  # fmt: skip


def test_a_port_in_use_is_named() -> None:
    server = FrameServer(lambda text, by: None, REST, port=0)
    try:
        with pytest.raises(LabanError, match=f"--port {server.port}: port {server.port} of 127.0.0.1 is in use"):
            FrameServer(lambda text, by: None, REST, port=server.port)
    finally:
        server.close()
    for port, says in ((70000, "accepted: 1 to 65535"), (-1, "accepted")):
        with pytest.raises(LabanError, match=says):
            FrameServer(lambda text, by: None, REST, port=port)
    with pytest.raises(LabanError, match="cannot listen on 203.0.113.1"):
        FrameServer(lambda text, by: None, REST, host="203.0.113.1", port=0)


def test_there_is_an_end_to_clients_and_to_the_stream(monkeypatch) -> None:
    monkeypatch.setattr("motion.streaming.server.MOST_CLIENTS", 2)
    with serving(Walker()) as (session, server), client(server) as one, client(server) as two:
        receive(one, "frame")
        receive(two, "frame")
        with client(server) as three:
            assert "2 clients are connected" in receive(three, "error")["error"]
        told: list[tuple[list[str], int]] = []
        reading = threading.Thread(target=lambda: told.append(read_to_the_end(one)))
        reading.start()
        session.stop()
        time.sleep(0.1)
        server.close()
        server.close()  # a second time does nothing
        reading.join(5)
    messages, code = told[0]
    assert json.loads(messages[-1]) == {"type": "end", "frames": session.speed.frames}
    assert code == 1001
