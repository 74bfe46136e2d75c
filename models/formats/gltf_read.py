"""Skeletal animation out of glTF 2.0: a `SkeletonClip` for each character, and from it a `Motion`.

Files that `write_glb` made come back exactly; others are retargeted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from models.formats.gltf_file import GltfFile, read_gltf_file
from models.formats.own_skeleton import own_motion
from models.formats.world import Z_UP_TO_Y_UP
from models.motion import Motion

if TYPE_CHECKING:
    from models.body.clip import SkeletonClip
    from models.body.model import BodyModel

MAX_FRAMES = 1_000_000
_RATES = (20.0, 24.0, 25.0, 30.0, 50.0, 60.0, 100.0, 120.0)
_USUAL_RATE = 30.0
_STILL = 2e-3  # share of the skeleton's size; a joint whose own position changes by less does not travel
_ON_KEY = 1e-3  # of the span between two keys: key times are rounded to single precision
_LIMB = 3  # joints that hang together: thigh, shank, foot


def read_gltf(
    path: Path, *, fps: float | None = None, clip: str | None = None, up: str = "y", body: BodyModel | None = None
) -> Motion:
    """Motion of all characters in a `.glb` or `.gltf` file; `clip` names one of several animations."""
    file = read_gltf_file(path)
    skeletons = [_plain_names(skeleton) for skeleton in read_gltf_clips(path, fps=fps, clip=clip, up=up, file=file)]
    own = [own_motion(skeleton, body) for skeleton in skeletons]
    if len(skins := file.items("skins")) == len(own):
        own = [motion and _with_extras(motion, skin) for motion, skin in zip(own, skins, strict=True)]
    motions = [motion or _retargeted(skeleton, body) for motion, skeleton in zip(own, skeletons, strict=True)]
    from models.formats import together

    return motions[0] if len(motions) == 1 else together(motions, str(path))


def _retargeted(clip: SkeletonClip, body: BodyModel | None) -> Motion:
    from models.body.retarget import retarget

    return retarget(clip, body=body)


def read_gltf_clips(
    path: Path,
    *,
    fps: float | None = None,
    clip: str | None = None,
    up: str = "y",
    file: GltfFile | None = None,
) -> list[SkeletonClip]:
    """The animation of every skeleton of the file, sampled at `fps` (None: the rate of its keys).

    Rest pose: the one that the nodes stand in without animation. Scaled nodes count, animated scale does not.
    """
    file = file or read_gltf_file(path)
    animation = _animation(file, clip)
    tracks = _tracks(file, animation)
    scene = _Scene(file)
    skeletons = _skeletons(file, scene, tracks)
    if not skeletons:
        raise LabanError(f"{path}: its animation moves no skeleton; accepted: a character with an animated skin")
    keys = [track.times for channels in tracks.values() for track in channels.values()]
    rate = fps or _extras_rate(animation) or _key_rate(keys)
    start, end = min(times[0] for times in keys), max(times[-1] for times in keys)
    count = int(np.floor((end - start) * rate + 1e-3)) + 1
    if count > MAX_FRAMES:
        raise LabanError(f"{path}: {end - start:g} s at {rate:g} fps are {count} frames; accepted: {MAX_FRAMES}")
    times = start + np.arange(count) / rate
    rest, posed = scene.world({}, np.zeros(1)), scene.world(tracks, times)
    return [_clip(scene, joints, rest, posed, rate, turn=up == "z") for joints in skeletons]


@dataclass(frozen=True)
class _Track:
    """Keys of one node's translation or rotation: times in seconds, values as the sampler stores them."""

    times: Float[ndarray, " keys"]
    values: Float[ndarray, "values components"]
    kind: str


_Tracks = dict[int, dict[str, _Track]]
"""Tracks by node and by path, "translation" or "rotation"."""


class _Scene:
    """The node tree: parents, and transforms of the nodes themselves."""

    def __init__(self, file: GltfFile) -> None:
        self.file = file
        nodes = file.items("nodes")
        self.names = [str(node.get("name") or f"node{i}") for i, node in enumerate(nodes)]
        self.parents = [-1] * len(nodes)
        for index, node in enumerate(nodes):
            for child in node.get("children", []):
                file.item("nodes", child)
                if self.parents[child] >= 0 or child == index:
                    raise file.error(f"node {child} has several parents")
                self.parents[child] = index
        self.order = self._parents_first()
        self.rest = [_own_transform(file, index, node) for index, node in enumerate(nodes)]

    def _parents_first(self) -> list[int]:
        children: dict[int, list[int]] = {}
        for index, parent in enumerate(self.parents):
            children.setdefault(parent, []).append(index)
        order, waiting = [], list(children.get(-1, []))
        while waiting:
            index = waiting.pop()
            order.append(index)
            waiting += children.get(index, [])
        if len(order) != len(self.parents):
            raise self.file.error("its nodes form a circle")
        return order

    def above(self, index: int) -> list[int]:
        """The node's ancestors, nearest first."""
        found = []
        while (index := self.parents[index]) >= 0:
            found.append(index)
        return found

    def local(
        self, index: int, tracks: _Tracks, times: Float[ndarray, " frames"]
    ) -> tuple[Float[ndarray, "frames 3"], Float[ndarray, "frames 4"], Float[ndarray, " 3"]]:
        """Translation, rotation (x, y, z, w) and scale of a node at each time."""
        translation, rotation, scale = self.rest[index]
        channels = tracks.get(index, {})
        places = np.broadcast_to(translation, (len(times), 3))
        turns = np.broadcast_to(rotation, (len(times), 4))
        if "translation" in channels:
            places = _sample(channels["translation"], times, spherical=False)
        if "rotation" in channels:
            turns = _sample(channels["rotation"], times, spherical=True)
        return places, turns, scale

    def world(self, tracks: _Tracks, times: Float[ndarray, " frames"]) -> dict[int, Float[ndarray, "frames 4 4"]]:
        """World matrices of all nodes at each time."""
        from scipy.spatial.transform import Rotation

        result: dict[int, Float[ndarray, "frames 4 4"]] = {}
        for index in self.order:
            places, turns, scale = self.local(index, tracks, times)
            matrix = np.zeros((len(times), 4, 4))
            matrix[:, :3, :3] = Rotation.from_quat(turns).as_matrix() * scale
            matrix[:, :3, 3], matrix[:, 3, 3] = places, 1
            parent = self.parents[index]
            result[index] = result[parent] @ matrix if parent >= 0 else matrix
        return result


def _own_transform(
    file: GltfFile, index: int, node: dict[str, Any]
) -> tuple[Float[ndarray, " 3"], Float[ndarray, " 4"], Float[ndarray, " 3"]]:
    defaults = {"translation": (0, 0, 0), "rotation": (0, 0, 0, 1), "scale": (1, 1, 1)}
    try:
        if "matrix" in node:
            return _decompose(np.array(node["matrix"], np.float64).reshape(4, 4).T)
        t, r, s = (np.array(node.get(key, value), np.float64) for key, value in defaults.items())
    except (TypeError, ValueError) as error:
        raise file.error(f"nodes[{index}] has a bad transform") from error
    finite = np.isfinite(np.concatenate([t.ravel(), r.ravel(), s.ravel()])).all()
    if (t.shape, r.shape, s.shape) != ((3,), (4,), (3,)) or not finite or not r.any():
        raise file.error(f"nodes[{index}] has a bad transform")
    return t, r / np.linalg.norm(r), s


def _decompose(
    matrix: Float[ndarray, "4 4"],
) -> tuple[Float[ndarray, " 3"], Float[ndarray, " 4"], Float[ndarray, " 3"]]:
    from scipy.spatial.transform import Rotation

    scale = np.linalg.norm(matrix[:3, :3], axis=0)
    if not np.isfinite(matrix).all() or not scale.all():
        raise ValueError("a matrix that is not invertible")
    if np.linalg.det(matrix[:3, :3]) < 0:
        scale[0] *= -1
    return matrix[:3, 3], Rotation.from_matrix(matrix[:3, :3] / scale).as_quat(), scale


def _animation(file: GltfFile, name: str | None) -> dict[str, Any]:
    animations = file.items("animations")
    names = [str(animation.get("name") or f"animation{i}") for i, animation in enumerate(animations)]
    if not names:
        raise LabanError(f"{file.path}: holds no animation; accepted: a character with an animated skin")
    listed = ", ".join(names[:40]) + (" …" if len(names) > 40 else "")
    if name is not None:
        if name not in names:
            raise LabanError(f"{file.path}: --clip {name}: accepted: {listed}")
        return animations[names.index(name)]
    if len(names) > 1:
        raise LabanError(f"{file.path}: holds {len(names)} animations; choose one with --clip: {listed}")
    return animations[0]


def _tracks(file: GltfFile, animation: dict[str, Any]) -> _Tracks:
    """The animation's channels that move or turn nodes; those of scale and morph targets are left out."""
    tracks: _Tracks = {}
    samplers = animation.get("samplers", [])
    for channel in animation.get("channels", []):
        target = channel.get("target", {})
        path, node, index = target.get("path"), target.get("node"), channel.get("sampler")
        if path not in ("translation", "rotation") or node is None:
            continue
        file.item("nodes", node)
        if not isinstance(index, int) or not 0 <= index < len(samplers):
            raise file.error(f"refers to samplers[{index}], of {len(samplers)}")
        sampler = samplers[index]
        times, values = file.accessor(sampler.get("input")), file.accessor(sampler.get("output"))
        kind = sampler.get("interpolation", "LINEAR")
        each = 3 if kind == "CUBICSPLINE" else 1
        width = 4 if path == "rotation" else 3
        if kind not in ("LINEAR", "STEP", "CUBICSPLINE"):
            raise file.error(f"interpolation {kind!r} is not known")
        if times.ndim != 1 or (np.diff(times) < 0).any() or values.shape != (each * len(times), width):
            raise file.error(f"the {path} of node {node} has {len(times)} keys and values of shape {values.shape}")
        if path == "rotation":
            values = _unit_rotations(file, values, each)
        tracks.setdefault(node, {})[path] = _Track(times, values, kind)
    if not tracks:
        raise LabanError(f"{file.path}: its animation moves no node; accepted: a character with an animated skin")
    return tracks


def _unit_rotations(file: GltfFile, values: Float[ndarray, "keys 4"], each: int) -> Float[ndarray, "keys 4"]:
    """Key quaternions at length one; the tangents of cubic splines stay as they are."""
    keys = values[each // 2 :: each]
    length = np.linalg.norm(keys, axis=-1, keepdims=True)
    if (length < 1e-6).any():
        raise file.error("a rotation key is zero")
    values = values.copy()
    values[each // 2 :: each] = keys / length
    return values


def _sample(track: _Track, times: Float[ndarray, " frames"], *, spherical: bool) -> Float[ndarray, "frames components"]:
    """Values of a channel at each time, by the interpolations of glTF 2.0, appendix C."""
    keys, values, kind = track.times, track.values, track.kind
    at = np.clip(times, keys[0], keys[-1])
    start = np.clip(np.searchsorted(keys, at, side="right") - 1, 0, max(len(keys) - 2, 0))
    stop = np.minimum(start + 1, len(keys) - 1)
    span = keys[stop] - keys[start]
    share = np.where(span > 0, (at - keys[start]) / np.where(span > 0, span, 1), 0.0)[:, None]
    if kind == "CUBICSPLINE":
        incoming, points, outgoing = values[0::3], values[1::3], values[2::3]
        a, b, s2, s3 = points[start], points[stop], share**2, share**3
        mixed = (2 * s3 - 3 * s2 + 1) * a + (s3 - 2 * s2 + share) * span[:, None] * outgoing[start]
        mixed = mixed + (3 * s2 - 2 * s3) * b + (s3 - s2) * span[:, None] * incoming[stop]
        return mixed / np.linalg.norm(mixed, axis=-1, keepdims=True) if spherical else mixed
    if kind == "STEP":
        return values[np.where(share[:, 0] > 1 - _ON_KEY, stop, start)]
    if not spherical:
        return (1 - share) * values[start] + share * values[stop]
    return _slerp(values[start], values[stop], share)


def _slerp(
    a: Float[ndarray, "frames 4"], b: Float[ndarray, "frames 4"], share: Float[ndarray, "frames 1"]
) -> Float[ndarray, "frames 4"]:
    cosine = (a * b).sum(-1, keepdims=True)
    b, cosine = np.where(cosine < 0, -b, b), np.minimum(np.abs(cosine), 1)
    angle = np.arccos(cosine)
    sine = np.sin(angle)
    near = sine < 1e-6
    safe = np.where(near, 1, sine)
    first = np.where(near, 1 - share, np.sin((1 - share) * angle) / safe)
    second = np.where(near, share, np.sin(share * angle) / safe)
    mixed = first * a + second * b
    return mixed / np.linalg.norm(mixed, axis=-1, keepdims=True)


def _skeletons(file: GltfFile, scene: _Scene, tracks: _Tracks) -> list[list[int]]:
    """Nodes of each character, parents first: the joints of its skins, or without skins all that hangs together.

    Skins that share joints (body, hair, clothes) are one character; of several trees in a skin the largest counts.
    """
    groups: list[set[int]] = []
    for skin in file.items("skins"):
        joints = {joint for joint in skin.get("joints", []) if file.item("nodes", joint) is not None}
        shared = [group for group in groups if group & joints]
        groups = [group for group in groups if not group & joints] + [joints.union(*shared)]
    if not groups:
        top = {(scene.above(node) or [node])[-1] for node in tracks}
        groups = [{i for i in scene.order if i in {root} or root in scene.above(i)} for root in top]
    found = []
    for group in groups:
        if not any(node in tracks for joint in group for node in (joint, *scene.above(joint))):
            continue
        roots: dict[int, list[int]] = {}
        for joint in (index for index in scene.order if index in group):
            line = [above for above in scene.above(joint) if above in group]
            roots.setdefault(line[-1] if line else joint, []).append(joint)
        found.append(max(roots.values(), key=len))
    return found


def _clip(
    scene: _Scene,
    joints: list[int],
    rest: dict[int, Float[ndarray, "1 4 4"]],
    posed: dict[int, Float[ndarray, "frames 4 4"]],
    rate: float,
    *,
    turn: bool,
) -> SkeletonClip:
    """Joint rotations relative to the rest pose, in axes along the world's: W = pose rest^-1, local = W_parent^-1 W."""
    from scipy.spatial.transform import Rotation

    from models.body.clip import SkeletonClip

    joints = _from_traveller(scene, joints, posed)
    parents = [next((joints.index(a) for a in scene.above(j) if a in joints), -1) for j in joints]
    at = np.stack([rest[j][0, :3, 3] for j in joints])
    turned = [_rotation(posed[j]) * _rotation(rest[j])[0].inv() for j in joints]
    if turn:
        up = Rotation.from_matrix(Z_UP_TO_Y_UP)
        turned, at = [up * t * up.inv() for t in turned], at @ Z_UP_TO_Y_UP.T
    local = [t if p < 0 else turned[p].inv() * t for t, p in zip(turned, parents, strict=True)]
    root = posed[joints[0]][:, :3, 3]
    offsets = at - at[[max(p, 0) for p in parents]]
    return SkeletonClip(
        names=tuple(scene.names[j] for j in joints),
        parents=tuple(parents),
        offsets=offsets.astype(np.float32),
        rotations=np.stack([r.as_quat(scalar_first=True) for r in local], axis=1).astype(np.float32),
        root=(root @ Z_UP_TO_Y_UP.T if turn else root).astype(np.float32),
        fps=rate,
    )


def _from_traveller(scene: _Scene, joints: list[int], posed: dict[int, Float[ndarray, "frames 4 4"]]) -> list[int]:
    """The joints from the lowest one down that carries the travel: hips that move against the still root above them.

    A joint does not count where a limb (a chain of joints) hangs beside it: that would be a stretched spine.
    """
    size = np.ptp(np.stack([posed[j][0, :3, 3] for j in joints]), axis=0).max()
    best = joints
    for joint in joints[1:]:
        below = [j for j in joints if j == joint or joint in scene.above(j)]
        beside = set(joints) - set(below) - set(scene.above(joint))
        if any(len(beside & set(scene.above(j))) >= _LIMB - 1 for j in beside):
            continue
        inside = np.linalg.inv(posed[scene.parents[joint]]) @ posed[joint]
        local = inside[:, :3, 3] * np.linalg.norm(posed[scene.parents[joint]][0, :3, 0])
        if np.ptp(local, axis=0).max() > _STILL * size and len(below) > 1:
            best = below
    return best


def _rotation(matrices: Float[ndarray, "frames 4 4"]) -> Any:
    from scipy.spatial.transform import Rotation

    axes = matrices[:, :3, :3]
    sign = np.sign(np.linalg.det(axes))[:, None, None]
    return Rotation.from_matrix(axes * sign / np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), 1e-12))


def _extras_rate(animation: dict[str, Any]) -> float | None:
    extras = animation.get("extras")
    rate = extras.get("fps") if isinstance(extras, dict) else None
    return float(rate) if isinstance(rate, int | float) and 1 <= rate <= 1000 else None


def _key_rate(keys: list[Float[ndarray, " keys"]]) -> float:
    """The usual rate on whose frames the keys lie; 30 where there is none."""
    densest = max(keys, key=len)
    if len(densest) < 2:
        return _USUAL_RATE
    steps = np.diff(densest)
    steps = steps[steps > 1e-5]
    if not len(steps):
        return _USUAL_RATE
    fits = [
        rate
        for rate in _RATES
        if np.abs(steps * rate - np.rint(steps * rate)).max() < 0.02 and steps.min() * rate > 0.5
    ]
    return fits[0] if fits else _USUAL_RATE


def _plain_names(clip: SkeletonClip) -> SkeletonClip:
    """Names without the "actor0_" that tells several actors of one file apart."""
    return replace(
        clip, names=tuple(name.partition("_")[2] if name.startswith("actor") else name for name in clip.names)
    )


def _with_extras(motion: Motion, skin: dict[str, Any]) -> Motion:
    """Shape, gender and present joints as `write_glb` noted them, where the motion is on such a skeleton."""
    extras = skin.get("extras")
    if not isinstance(extras, dict) or not {"betas", "gender", "joints"} <= extras.keys():
        return motion
    try:
        betas = np.array(extras["betas"], np.float32)[None]
        mask = np.array(extras["joints"], bool)
    except (TypeError, ValueError):
        return motion
    if betas.ndim != 2 or mask.shape != (55,) or extras["gender"] not in ("neutral", "female", "male"):
        return motion
    return replace(motion, betas=betas, mask=mask & motion.mask, genders=(extras["gender"],))
