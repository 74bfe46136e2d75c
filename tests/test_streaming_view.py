"""The live view: the body in pieces is the body, strangers' pages are cut off, and a browser sees it move."""

from __future__ import annotations

import io
import threading
import time
import urllib.request
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image

from laban.errors import LabanError
from laban.network import listen
from models.body.kinematics import forward_kinematics
from models.body.model import load_body
from models.body.skinning import skin
from models.rotations import matrix_to_quaternion, quaternion_to_matrix
from motion.streaming.session import Session
from tests.streaming_browser import Browser, find_chromium
from tests.streaming_walk import Walker
from viz.live_body import body_pieces, skeleton_pieces

BODY = load_body()
REST = BODY.joint_template[:22]


def posed(piece, places: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Where bones put the vertices of a piece."""
    joints = list(piece.joints)
    local = piece.vertices[:, None] - REST.numpy()[joints]
    moved = np.einsum("jab,vjb->vja", turns[joints], local) + places[joints]
    return (piece.weights[..., None] * moved).sum(1)


def test_the_pieces_in_any_pose_are_the_skinned_body() -> None:
    torch.manual_seed(0)
    rotations = torch.eye(3).repeat(1, 55, 1, 1)
    rotations[0, :22] = quaternion_to_matrix(torch.tensor([2.0, 0, 0, 0]) + 0.5 * torch.randn(22, 4))
    root = torch.tensor([[0.3, 1.1, -2.0]])
    whole = skin(BODY, rotations, root).vertices[0].numpy()
    places, turns = forward_kinematics(rotations[0, :22], REST, root[0])
    pieces = body_pieces(BODY)
    assert sum(len(piece.faces) for piece in pieces) == len(BODY.faces)
    assert max((piece.weights > 0).sum(1).max() for piece in pieces) <= 4
    assert sum(len(piece.joints) for piece in pieces) < 80
    drawn = np.concatenate(
        [posed(piece, places.numpy(), turns.numpy())[piece.faces].reshape(-1, 9) for piece in pieces]
    )
    wanted = whole[BODY.faces.numpy()].reshape(-1, 9)
    order = [np.lexsort(np.round(corners, 3).T) for corners in (drawn, wanted)]
    near = np.abs(np.sort(drawn.sum(1)) - np.sort(wanted.sum(1)))
    assert near.max() < 1e-3 and len(order[0]) == len(order[1])


def test_the_colours_are_the_bodys_own() -> None:
    pieces = body_pieces(BODY)
    own = {tuple(color) for color in BODY.colors.numpy().tolist()}
    assert {piece.color for piece in pieces} <= own
    assert 6 <= len(pieces) <= 14


def test_a_stick_figure_is_rigid_and_has_two_sides() -> None:
    pieces = skeleton_pieces(REST.numpy())
    assert len(pieces) == 3
    assert all(np.array_equal(np.unique(piece.weights), [0, 1]) for piece in pieces)
    reach = np.concatenate([piece.vertices for piece in pieces])
    assert np.abs(reach.min(0) - REST.numpy().min(0)).max() < 0.15


@pytest.fixture
def view():
    """A walker in real time, shown on a free port."""
    pytest.importorskip("viser")
    from viz.live import LiveView, Panel

    session = Session(Walker())
    recorded = []

    def record(on: bool) -> str:
        recorded.append(on)
        return "" if on else "written"

    live = LiveView(Panel(session.say, record, lambda: "30 fps"), BODY, port=0)
    session.sinks.append(lambda frame: live.show(frame.index, frame.rotations, frame.root, frame.text))
    session.listeners.append(lambda h: live.heard(h.said.text, h.said.leaning, sure=h.said.sure))
    yield live, session, recorded
    session.stop()
    live.close()


def test_the_page_is_served_and_bones_follow_the_frames(view) -> None:
    live, session, _ = view
    with urllib.request.urlopen(live.url, timeout=10) as page:
        assert page.status == 200 and b"<html" in page.read().lower()
    for frame in islice(Walker("walk"), 200):
        live.show(frame.index, frame.rotations, frame.root, frame.text)
    turns = forward_kinematics(torch.from_numpy(frame.rotations), REST, torch.from_numpy(frame.root))[1]
    wanted = matrix_to_quaternion(turns).numpy()
    assert len(live._bones) > 40
    for bone, joint in live._bones:
        np.testing.assert_allclose(bone.wxyz, wanted[joint], atol=1e-6)
    assert 0.1 < frame.root[2] - live.middle[1] < 0.6  # the camera follows a little behind


def test_strangers_pages_are_cut_off_and_nobody_may_share(view) -> None:
    from viser import __version__, _messages
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    live, _, _ = view
    address, protocol = live.url.replace("http", "ws"), f"viser-v{__version__}"

    def refused(origin: str | None) -> int:
        """The code that a page of this origin is cut off with; 0 when it is sent something."""
        with connect(address, origin=origin, subprotocols=[protocol], max_size=None, close_timeout=0.5) as page:
            try:
                page.recv(timeout=10)
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd is not None else -1
        return 0

    assert [refused(origin) for origin in ("https://evil.example", "null", live.url, None)] == [1008, 1008, 0, 0]
    handlers = live._server._websock_server._incoming_handlers
    assert _messages.ShareUrlRequest not in handlers and _messages.ShareUrlDisconnect not in handlers


def test_a_port_in_use_is_named() -> None:
    pytest.importorskip("viser")
    from viz.live import LiveView, Panel

    taken = listen("127.0.0.1", 0, "--view-port")
    port = taken.getsockname()[1]
    with taken, pytest.raises(LabanError, match=f"--view-port {port}: port {port} of 127.0.0.1 is in use"):
        LiveView(Panel(lambda text, by: None), BODY, port=port)


@pytest.mark.slow
@pytest.mark.skipif(find_chromium() is None, reason="no chromium on this machine")
def test_in_a_browser_a_typed_word_moves_the_body(view, tmp_path) -> None:
    live, session, recorded = view
    performing = threading.Thread(target=session.run, daemon=True)
    performing.start()
    browser = Browser(str(find_chromium()), tmp_path, (720, 360))
    try:
        browser.open(live.url)
        browser.wait("document.querySelector('form input') && document.body.innerText.includes('stand')", 60)
        browser.look("document.querySelectorAll('.mantine-Notification-closeButton').forEach(e => e.click())")
        still, again = settled(browser)
        assert changed(still, again) < 0.002
        browser.look("document.querySelector('form input').focus()")
        browser.type("turn left")
        browser.wait("document.body.innerText.includes('“turn left” leans on turn left 1.00')", 60)
        browser.wait("document.querySelector('form input').value === ''", 30)
        assert changed(still, picture(browser)) > 0.005
        browser.look("[...document.querySelectorAll('button')].find(b => b.innerText == 'wave').click()")
        browser.wait("document.body.innerText.includes('leans on wave 1.00')", 60)
        browser.look("[...document.querySelectorAll('button')].find(b => b.innerText == 'Record').click()")
        browser.wait("document.body.innerText.includes('Stop recording')", 60)
        assert recorded == [True]
        assert not session.ended
    finally:
        browser.close()


def picture(browser: Browser) -> np.ndarray:
    """What the browser shows, without the panel on the right."""
    return np.asarray(Image.open(io.BytesIO(browser.picture())).convert("RGB"))[:, :390].astype(int)


def settled(browser: Browser) -> tuple[np.ndarray, np.ndarray]:
    """Two pictures, once the page has faded in (dark trousers are seen) and nothing changes any more."""
    end, last = time.monotonic() + 60, picture(browser)
    while True:
        time.sleep(1)
        now = picture(browser)
        seen = (now.max(-1) < 70).mean() > 0.005
        if (seen and changed(last, now) < 0.001) or time.monotonic() > end:
            return last, now
        last = now


def changed(a: np.ndarray, b: np.ndarray) -> float:
    """Share of pixels that differ clearly."""
    return float((np.abs(a - b).max(-1) > 24).mean())
