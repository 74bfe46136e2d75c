"""A streamed person live in the browser: body and studio, a panel to say things in, and what is being done."""

from __future__ import annotations

import contextlib
import html
import io
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from laban.network import LOOPBACK, is_loopback, listen, may_connect
from models.body.kinematics import forward_kinematics
from models.body.skeleton import NUM_BODY
from models.rotations import matrix_to_quaternion
from viz.live_body import Piece, body_pieces, skeleton_pieces
from viz.studio import STUDIO

if TYPE_CHECKING:
    import viser

    from models.body.model import BodyModel

ACTIONS = ("stand still", "walk forward", "run", "turn left", "turn right", "walk backwards", "jump", "wave",
           "sit down", "kick", "dance", "stop")  # fmt: skip
"""What the buttons say."""
IN_A_ROW = 3
FAR = 40.0
"""Metres of floor in each direction; it fades out before."""
SQUARE, SECTION = 0.5, 1.0
FOLLOW = 0.12
"""Share of the way to the person that the camera goes in each frame."""
READ_EVERY = 0.5
"""Seconds between two looks at speed and viewers."""
BRAND = (62, 112, 158)

Say = Callable[[str, str], Any]
"""Words and who said them; LabanError for what cannot be said."""


@dataclass(frozen=True)
class Panel:
    """What the panel offers and asks: `record` starts (True) or ends a recording and answers what to tell about it,
    `speed` is a line about how the stream goes."""

    say: Say
    record: Callable[[bool], str] | None = None
    speed: Callable[[], str] | None = None
    actions: Sequence[str] = ACTIONS


class LiveView:
    """A page at `url` that shows a stream until it is closed.

    The camera follows by moving the world: the person stays in the middle, and the viewer's own turning and zooming is
    never fought with. Raises LabanError when viser is missing or the port is in use. Pages of other origins are cut
    off, see `laban.network.may_connect`.
    """

    def __init__(
        self, panel: Panel, body: BodyModel, *, skeleton: bool = False, host: str = LOOPBACK, port: int = 8080
    ) -> None:  # fmt: skip
        self._server = _open(host, port)
        self.host, self.port = host, int(self._server.get_port())
        self._rest = body.rest_joints()[0, :NUM_BODY]
        self._soles = -float(body.v_template[:, 1].min())
        self._middle = np.zeros(2)
        self._shown, self._asked = -1, 0.0
        self._build_scene(skeleton_pieces(self._rest.numpy()) if skeleton else body_pieces(body))
        self._controls = _Controls(self._server, panel)

    @property
    def url(self) -> str:
        """Where the browser looks."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def only_here(self) -> bool:
        """Whether no other machine can look."""
        return is_loopback(self.host)

    @property
    def viewers(self) -> int:
        """How many browsers look."""
        return len(self._server.get_clients())

    @property
    def middle(self) -> tuple[float, float]:
        """The point of the floor, x and z in metres, that the camera looks at."""
        return float(self._middle[0]), float(self._middle[1])

    def show(
        self, index: int, rotations: Float[ndarray, "22 3 3"], root: Float[ndarray, " 3"], text: str
    ) -> None:  # fmt: skip
        """Show a frame: local rotations and SMPL-X transl of the body joints, and what is being done."""
        with torch.inference_mode():
            local = torch.from_numpy(np.asarray(rotations, np.float32))
            travel = torch.from_numpy(np.asarray(root, np.float32))
            joints, turns = forward_kinematics(local, self._rest, travel)
            wxyz, places = matrix_to_quaternion(turns).numpy(), joints.numpy()
        ground = np.array([places[0, 0], places[0, 2]])
        if self._shown < 0 or index < self._shown:
            self._middle = ground.copy()
        self._middle += (ground - self._middle) * FOLLOW * self._controls.follows
        self._shown = index
        with self._server.atomic():
            self._place(ground, wxyz, places)
        self._controls.doing(text)
        if time.monotonic() - self._asked > READ_EVERY:
            self._asked = time.monotonic()
            self._controls.read(self.viewers)

    def heard(self, text: str, leaning: str, *, sure: bool) -> None:
        """Show how something that was said has been understood."""
        self._controls.heard(text, leaning, sure=sure)

    def close(self) -> None:
        """End the page and free the port."""
        with contextlib.redirect_stdout(io.StringIO()):  # viser says good-bye there
            self._server.stop()

    def _build_scene(self, pieces: list[Piece]) -> None:
        scene = self._server.scene
        scene.set_up_direction("+y")
        scene.configure_default_lights(enabled=False)
        scene.configure_environment_map("studio", environment_intensity=0.12)
        _light(self._server)
        scene.configure_fog(7.0, 24.0, color=np.array(STUDIO.backdrop_horizon, np.uint8))
        scene.set_background_image(_backdrop(), format="png")
        self._floor = scene.add_grid(
            "/floor", 2 * FAR, 2 * FAR, plane="xz", cell_size=SQUARE, section_size=SECTION,
            cell_color=(222, 226, 232), section_color=(202, 208, 217), cell_thickness=0.7, section_thickness=1.0,
            plane_color=np.array(STUDIO.floor_color, np.uint8), plane_opacity=1.0, shadow_opacity=0.42,
            fade_distance=26.0, fade_strength=1.0, fade_from="camera",
        )  # fmt: skip
        self._body = scene.add_frame("/body", show_axes=False)
        self._bones = []
        rest = self._rest.numpy() + np.array([0, self._soles, 0], np.float32)
        for number, piece in enumerate(pieces):
            mesh = scene.add_mesh_skinned(
                f"/body/{number}", piece.vertices + np.array([0, self._soles, 0], np.float32), piece.faces,
                bone_wxyzs=np.tile([1.0, 0, 0, 0], (len(piece.joints), 1)), bone_positions=rest[list(piece.joints)],
                skin_weights=piece.weights, color=piece.color, side="double",
            )  # fmt: skip
            self._bones += list(zip(mesh.bones, piece.joints, strict=True))
        camera = self._server.initial_camera
        camera.position, camera.look_at, camera.fov = (2.1, 1.55, 3.2), (0.0, 0.92, 0.0), np.radians(40)

    def _place(
        self, ground: Float[ndarray, "2"], wxyz: Float[ndarray, "22 4"], places: Float[ndarray, "22 3"]
    ) -> None:  # fmt: skip
        """Move bones, body and floor: the middle of what is seen is the origin of the page."""
        away = ground - self._middle
        self._body.position = (float(away[0]), 0.0, float(away[1]))
        # The lines of the floor come again after every square: moved by less than one, it looks as if walked over.
        shift = self._middle % SECTION
        self._floor.position = (-float(shift[0]), 0.0, -float(shift[1]))
        local = places - np.array([ground[0], 0, ground[1]], places.dtype)
        for bone, joint in self._bones:
            bone.wxyz = wxyz[joint]
            bone.position = local[joint]


class _Controls:
    """The panel beside the picture."""

    def __init__(self, server: viser.ViserServer, panel: Panel) -> None:
        self._server, self._panel = server, panel
        self._text, self._said, self._sure, self._note = "", "", True, ""
        self._recording, self._changing = False, threading.Lock()
        gui = server.gui
        gui.set_panel_label("Laban")
        gui.configure_theme(brand_color=BRAND, show_logo=False, show_share_button=False, control_width="medium")
        self._now = gui.add_html(_now_html("…", "", sure=True))
        with gui.add_form(None) as form:
            self._words: Any = gui.add_text("Say", "", hint="What the person should do; Enter says it.")
        form.on_submit(lambda event: self._say(self._words.value, clear=True))
        for start in range(0, len(panel.actions), IN_A_ROW):
            group = gui.add_button_group("Do" if start == 0 else " ", panel.actions[start : start + IN_A_ROW])
            group.on_click(lambda event: self._say(event.target.value))
        self._follow = gui.add_checkbox("Follow", True, hint="The camera goes where the person goes.")
        if panel.record is not None:
            self._button = gui.add_button("Record", color=None)
            self._button.on_click(lambda event: self._record())
        self._read = gui.add_html(_read_html("", 0, ""))

    @property
    def follows(self) -> bool:
        """Whether the camera goes along."""
        return bool(self._follow.value)

    def doing(self, text: str) -> None:
        """What drives the present frame."""
        if text != self._text:
            self._text = text
            self._draw()

    def heard(self, text: str, leaning: str, *, sure: bool) -> None:
        """How words were understood."""
        self._said, self._sure = f"“{text}” {leaning}", sure
        self._draw()

    def read(self, viewers: int) -> None:
        """Look at the speed again."""
        speed = self._panel.speed() if self._panel.speed is not None else ""
        self._read.content = _read_html(speed, viewers, self._note)

    def _draw(self) -> None:
        self._now.content = _now_html(self._text, self._said, sure=self._sure)

    def _say(self, words: str, *, clear: bool = False) -> None:
        try:
            self._panel.say(words, "the page")
            self._note = ""
        except LabanError as error:
            self._note = str(error)
        if clear:
            self._words.value = ""

    def _record(self) -> None:
        with self._changing:
            assert self._panel.record is not None
            wanted = not self._recording
            try:
                self._note = self._panel.record(wanted)
                self._recording = wanted
            except LabanError as error:
                self._note = str(error)
            self._button.label = "Stop recording" if self._recording else "Record"
            self._button.color = "red" if self._recording else None


def _open(host: str, port: int) -> viser.ViserServer:
    """A server on exactly that port, quiet, for pages of this machine alone."""
    try:
        import viser
    except ImportError as error:
        raise LabanError(f"--view: package viser is missing ({error}); run: pip install 'laban[stream]'") from None
    probe = listen(host, port, "--view-port")  # viser itself would take the next free port and say nothing
    port = probe.getsockname()[1]
    probe.close()
    with contextlib.redirect_stdout(io.StringIO()):
        server = viser.ViserServer(host, port, verbose=False)
    if server.get_port() != port:
        server.stop()
        raise LabanError(f"--view-port {port}: port {port} of {host} is in use; accepted: a free port")
    _refuse_strangers(server, host)
    return server


def _refuse_strangers(server: viser.ViserServer, host: str) -> None:
    """Close connections of pages from elsewhere before anything is sent, and take nobody's order to share the page.

    viser has no public way to do either.
    """
    from viser import _messages

    inner = server._websock_server

    async def check(client: Any) -> None:
        connection: Any = inner._live_connections[client.client_id]
        headers = connection.request.headers
        if not may_connect(headers.get("Origin"), headers.get("Host"), host):
            await connection.close(1008, "pages of this machine only")

    inner.on_client_connect(check)
    for order in (_messages.ShareUrlRequest, _messages.ShareUrlDisconnect):
        inner.unregister_handler(order)


def _light(server: viser.ViserServer) -> None:
    """Key with a shadow, fill and rim, as in `viz.studio`; positions are directions for these lights."""
    scene = server.scene
    key = np.array(STUDIO.key) * 6
    scene.add_light_directional("/key", color=(255, 247, 236), intensity=1.5, cast_shadow=True, position=tuple(key))
    fill = np.array(STUDIO.fill) * 6
    scene.add_light_directional("/fill", color=(226, 236, 255), intensity=0.25, position=tuple(fill))
    scene.add_light_directional("/rim", color=(240, 246, 255), intensity=0.3, position=(0.5, 2.5, -5.0))
    scene.add_light_hemisphere("/sky", sky_color=(244, 248, 255), ground_color=(206, 200, 194), intensity=0.42)


def _backdrop(size: int = 256) -> ndarray:
    """The studio's wall: from its top colour down to the horizon."""
    top, horizon = np.array(STUDIO.backdrop_top, float), np.array(STUDIO.backdrop_horizon, float)
    share = np.clip(np.linspace(0, 1.9, size), 0, 1)[:, None, None]
    return np.rint(np.broadcast_to(top + (horizon - top) * share, (size, size, 3))).astype(np.uint8)


def _now_html(text: str, said: str, *, sure: bool) -> str:
    tint = "#3e709e" if sure else "#b4632a"
    doubt = "" if sure else "<b>Not sure.</b> "
    return (
        f'<div style="padding:.5em .8em .6em"><div style="font-size:1.35em;font-weight:650;line-height:1.25;'
        f'color:#2c333d">{html.escape(text)}</div><div style="font-size:.82em;color:{tint};line-height:1.35;'
        f'margin-top:.25em">{doubt}{html.escape(said)}</div></div>'
    )


def _read_html(speed: str, viewers: int, note: str) -> str:
    who = "1 viewer" if viewers == 1 else f"{viewers} viewers"
    told = f'<div style="color:#b4632a;margin-top:.3em">{html.escape(note)}</div>' if note else ""
    line = " · ".join(part for part in (html.escape(speed), who) if part)
    style = "padding:.3em 1em .8em;font-size:.8em;color:#66707d;font-variant-numeric:tabular-nums"
    return f'<div style="{style}">{line}{told}</div>'
