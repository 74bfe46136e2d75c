"""The pyrender back end: OpenGL through EGL or OSMesa, without a display.

pyrender's own path builds a scene a frame, lights every sample with a physical material and reads depth back. Here the
vertex buffers stay and are overwritten in place, vertices come lit (by the same light as in the numba back end), and
only colour is read; the floor and its shadows are painted as there, so both back ends give the same picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float, Float32, UInt8
from numpy import ndarray

from laban.errors import LabanError
from models.compat import import_pyrender
from viz.camera import Camera
from viz.jit import kernel
from viz.raster import NEAR, layers
from viz.renderer import Mesh, check_size
from viz.scene import paint_studio
from viz.shading import DISPLAY_STEPS, LINEAR_OF_SRGB, SRGB_OF_ROOT, shade, vertex_normals
from viz.shadow import cast_shadows
from viz.studio import STUDIO, Studio

SOFTWARE = ("llvmpipe", "softpipe", "swrast", "software rasterizer")
Key = tuple[tuple[int, int], ...]


class GlRenderer:
    """`Renderer` on OpenGL. It belongs to the thread that made it.

    `device` is OpenGL's name of what draws; `hardware` says whether that is a graphics card. Raises LabanError when
    pyrender is not installed or OpenGL cannot start.
    """

    name = "pyrender"

    def __init__(self, size: tuple[int, int] = (512, 512), *, samples: int = 4) -> None:
        self.size = check_size(size)
        pyrender = import_pyrender()
        try:
            self._window = pyrender.OffscreenRenderer(*size)
            self._window._platform.make_current()
            self._window._renderer = _multisampled(pyrender)(*size, samples=samples)
            from OpenGL.GL import GL_RENDERER, glGetString

            self.device: str = glGetString(GL_RENDERER).decode()
        # OpenGL's loaders raise anything from AttributeError to EGLError when a driver is missing.
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            hint = "; try pip install 'PyOpenGL>=3.1.10', or the numba renderer" if "OSMesa" in reason else ""
            raise LabanError(f"pyrender: OpenGL cannot start ({reason}){hint}") from error
        self.hardware = not any(name in self.device.lower() for name in SOFTWARE)
        self._pyrender = pyrender
        self._key: Key = ()
        self._layers: list[_Layer] = []

    def render(
        self, meshes: Sequence[Mesh], camera: Camera, studio: Studio = STUDIO
    ) -> UInt8[ndarray, "height width 3"]:
        """The picture as sRGB; the caller owns the array."""
        canvas = np.empty((self.size[1], self.size[0], 3), np.uint8)
        shadow = cast_shadows(meshes, studio)
        paint_studio(canvas, camera, studio, shadow)
        groups = layers(meshes, camera)
        key = tuple((index, id(mesh.faces)) for index, group in enumerate(groups) for mesh in group)
        if key != self._key:
            self._forget()
            self._layers = [_Layer(self._pyrender, group, camera, self.size) for group in groups]
            self._key = key
        x0, y0, x1, y1 = self._box(meshes, camera)
        self._window._renderer.box = (x0, self.size[1] - y1, x1 - x0, y1 - y0)
        part = canvas[y0:y1, x0:x1]
        solid_depth: Float32[ndarray, "rows columns"] | None = None
        for layer, group in zip(self._layers, groups, strict=True):
            lit = [
                shade(mesh.vertices, vertex_normals(mesh.vertices, mesh.faces), mesh.vertex_colors(), eye=camera.eye,
                      studio=studio, shadow=shadow)
                for mesh in group
            ]  # fmt: skip
            self._window._platform.make_current()
            layer.update(group, lit, camera)
            color, depth = self._draw(layer, need_depth=len(groups) > 1)
            if depth is not None:
                if solid_depth is not None:
                    color = np.where((depth < solid_depth)[..., None], color, np.uint8(0))
                solid_depth = depth if solid_depth is None else np.minimum(depth, solid_depth)
            _compose(color, part, np.float32(group[0].opacity), LINEAR_OF_SRGB, SRGB_OF_ROOT)
        return canvas

    def close(self) -> None:
        """Give back the OpenGL context and all that is in it."""
        self._forget()
        self._window.delete()

    def _box(self, meshes: Sequence[Mesh], camera: Camera) -> tuple[int, int, int, int]:
        """Left, top, right and bottom pixel of what can be seen of the meshes: the rest need not be cleared or read."""
        points = [camera.project(mesh.vertices, self.size) for mesh in meshes if len(mesh.faces)]
        if not points:
            return 0, 0, 1, 1
        seen = np.concatenate(points)
        if seen[:, 2].min() < NEAR:
            return 0, 0, *self.size
        low = np.clip(np.floor(seen[:, :2].min(axis=0)) - 1, 0, np.subtract(self.size, 1)).astype(int)
        high = np.clip(np.ceil(seen[:, :2].max(axis=0)) + 1, low + 1, self.size).astype(int)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def _draw(
        self, layer: _Layer, *, need_depth: bool
    ) -> tuple[UInt8[ndarray, "rows columns 4"], Float32[ndarray, "rows columns"] | None]:
        """Colours as square roots of linear light, weighted by the covered share in alpha; and 0..1 depth."""
        flags = self._pyrender.RenderFlags
        renderer = self._window._renderer
        renderer.need_depth = need_depth
        # pyrender holds OSMesa incapable of framebuffers and reads its window, without alpha; today's can do both.
        return renderer.render(layer.scene, flags.FLAT | flags.RGBA | flags.OFFSCREEN)

    def _forget(self) -> None:
        self._window._platform.make_current()
        for layer in self._layers:
            layer.delete()
        self._layers, self._key = [], ()


class _Layer:
    """A pyrender scene whose meshes keep their triangles; vertices and colours are overwritten in place."""

    def __init__(self, pyrender: Any, meshes: Sequence[Mesh], camera: Camera, size: tuple[int, int]) -> None:
        # Named so that a renderer holds on to the faces: their identity says whether a scene can be used again.
        self.faces = [mesh.faces for mesh in meshes]
        self.scene = pyrender.Scene(bg_color=[0.0, 0.0, 0.0, 0.0])
        self.primitives = []
        material = pyrender.MetallicRoughnessMaterial(baseColorFactor=[1.0, 1.0, 1.0, 1.0])
        for mesh in meshes:
            white = np.ones((len(mesh.vertices), 4), np.float32)
            primitive = pyrender.Primitive(positions=mesh.vertices, color_0=white, indices=mesh.faces,
                                           material=material, mode=pyrender.GLTF.TRIANGLES)  # fmt: skip
            self.primitives.append(primitive)
            self.scene.add(pyrender.Mesh([primitive]))
        lens = pyrender.PerspectiveCamera(np.radians(camera.fov), znear=NEAR, aspectRatio=size[0] / size[1])
        self.eye = self.scene.add(lens, pose=_pose(camera))

    def update(self, meshes: Sequence[Mesh], colors: Sequence[Float32[ndarray, "_ 3"]], camera: Camera) -> None:
        """Move the camera; write positions and colours into the buffers, which pyrender fills at the first frame."""
        self.scene.set_pose(self.eye, _pose(camera))
        self.eye.camera.yfov = np.radians(camera.fov)
        for primitive, mesh, color in zip(self.primitives, meshes, colors, strict=True):
            packed = np.empty((len(color), 7), np.float32)
            packed[:, :3], packed[:, 3:6], packed[:, 6] = mesh.vertices, color / np.float32(DISPLAY_STEPS), 1
            if primitive._vaid is None:
                primitive.positions, primitive.color_0 = packed[:, :3], packed[:, 3:]
            else:
                from OpenGL.GL import GL_ARRAY_BUFFER, glBindBuffer, glBufferSubData

                glBindBuffer(GL_ARRAY_BUFFER, primitive._buffers[0])
                glBufferSubData(GL_ARRAY_BUFFER, 0, packed.nbytes, packed)
                glBindBuffer(GL_ARRAY_BUFFER, 0)

    def delete(self) -> None:
        for primitive in self.primitives:
            if primitive._vaid is not None:
                primitive.delete()


def _pose(camera: Camera) -> Float[ndarray, "4 4"]:
    """Camera to world, as OpenGL has it: looking along -Z."""
    pose = np.eye(4)
    pose[:3, :3] = (camera.axes() * np.array([[1.0], [1.0], [-1.0]])).T
    pose[:3, 3] = camera.eye
    return pose


def _multisampled(pyrender: Any) -> type:
    """pyrender's renderer with a chosen number of samples (its own is always 4), reading depth only when asked."""
    from OpenGL import GL

    module = pyrender.renderer

    class Multisampled(module.Renderer):  # type: ignore[misc, name-defined]
        def __init__(self, width: int, height: int, *, samples: int) -> None:
            super().__init__(width, height)
            self._samples = samples if samples > 1 else 0
            self.need_depth = False
            self.box = (0, 0, width, height)

        def _forward_pass(self, scene: Any, flags: int, seg_node_map: Any = None) -> Any:
            GL.glEnable(GL.GL_SCISSOR_TEST)
            GL.glScissor(*self.box)
            try:
                return super()._forward_pass(scene, flags, seg_node_map)
            finally:
                GL.glDisable(GL.GL_SCISSOR_TEST)

        def _configure_main_framebuffer(self) -> None:
            original = module.glRenderbufferStorageMultisample

            def storage(target: int, _samples: int, layout: int, width: int, height: int) -> None:
                original(target, self._samples, layout, width, height)

            module.glRenderbufferStorageMultisample = storage
            try:
                super()._configure_main_framebuffer()
            finally:
                module.glRenderbufferStorageMultisample = original

        def _read_main_framebuffer(self, scene: Any, flags: int) -> tuple[ndarray, ndarray | None]:
            left, bottom, width, height = self.box
            area = (left, bottom, left + width, bottom + height)
            GL.glBindFramebuffer(GL.GL_READ_FRAMEBUFFER, self._main_fb_ms)
            GL.glBindFramebuffer(GL.GL_DRAW_FRAMEBUFFER, self._main_fb)
            GL.glBlitFramebuffer(*area, *area, GL.GL_COLOR_BUFFER_BIT, GL.GL_NEAREST)
            if self.need_depth:
                GL.glBlitFramebuffer(*area, *area, GL.GL_DEPTH_BUFFER_BIT, GL.GL_NEAREST)
            GL.glBindFramebuffer(GL.GL_READ_FRAMEBUFFER, self._main_fb)
            pixels = GL.glReadPixels(*self.box, GL.GL_RGBA, GL.GL_UNSIGNED_BYTE)
            color = np.frombuffer(pixels, np.uint8).reshape(height, width, 4)[::-1]
            if not self.need_depth:
                return color, None
            values = GL.glReadPixels(*self.box, GL.GL_DEPTH_COMPONENT, GL.GL_FLOAT)
            return color, np.frombuffer(values, np.float32).reshape(height, width)[::-1]

    return Multisampled


@kernel
@no_type_check
def _compose(color, canvas, opacity, linear, srgb):
    """Lay colours (square roots of linear light times coverage; coverage) over the canvas, in linear light."""
    one = np.float32(1)
    for y in range(canvas.shape[0]):
        for x in range(canvas.shape[1]):
            cover = color[y, x, 3]
            if cover:
                share = np.float32(cover) * np.float32(1 / 255)
                for c in range(3):
                    root = np.float32(color[y, x, c]) / np.float32(cover)
                    light = root * root * share * opacity + (one - share * opacity) * linear[canvas[y, x, c]]
                    canvas[y, x, c] = srgb[int(np.sqrt(min(light, one)) * np.float32(1023) + np.float32(0.5))]
