"""Which joints of a skeleton are the 22 body joints, recognised by name and by place in the tree.

Names decide limbs and head (SMPL, CMU and its releases, Mixamo, Unity and VRM, Unreal, Blender's Rigify, MakeHuman,
Daz, Character Creator, 3ds Max Biped …); the tree decides the trunk: the pelvis is where the thighs meet, the chest
where the arms meet, the spine lies between.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from models.body.clip import SkeletonClip
from models.body.skeleton import JOINT, NUM_BODY

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SIDES = {"l": "left", "left": "left", "lft": "left", "r": "right", "right": "right", "rgt": "right"}
_NOISE = frozenset(
    ("def", "org", "cc", "base", "j", "bip", "mixamorig", "character", "bend", "joint", "jnt", "bone", "sk", "skel")
    + ("b", "c", "m", "f", "avg", "human", "rig")
)
_ROLES: dict[str, tuple[str, ...]] = {
    "hip": ("upleg", "upperleg", "thigh", "femur", "hip", "upperlegs", "legupper"),
    "knee": ("leg", "lowerleg", "lowleg", "shin", "calf", "tibia", "knee", "leglower"),
    "ankle": ("ankle", "foot"),
    "foot": ("toebase", "toe", "toes", "ball", "foot", "footend", "toeend", "ankleend", "tiptoe"),
    "collar": ("clavicle", "collar", "shoulder"),
    "shoulder": ("upperarm", "uparm", "arm", "shldr", "humerus", "shoulder", "armupper"),
    "elbow": ("forearm", "lowerarm", "lowarm", "elbow", "radius", "armlower"),
    "wrist": ("hand", "wrist", "palm"),
}
_GLUED = re.compile(r"^([lr])(" + "|".join(sorted({word for words in _ROLES.values() for word in words})) + ")$")
_TOE_AHEAD, _TOE_DOWN = 0.16, 0.055
"""Where the base of the toes is from the ankle, as parts of the leg's length."""
_STEP = 0.02  # metres; a joint nearer to the one before it adds nothing to the spine


def map_joints(clip: SkeletonClip) -> Float[ndarray, "22 joints"]:
    """Matrix that weighs a skeleton's joints into the 22 body joints (rows sum to 1).

    Raises LabanError naming the body joints for which no joint was recognised.
    """
    tree = _Tree(clip)
    limbs = {f"{side}_{role}": joint for side in ("left", "right") for role, joint in tree.limb(side).items()}
    wanted = [f"{side}_{role}" for side in ("left", "right") for role in _ROLES if role != "collar"]
    missing = [name for name in wanted if name not in limbs]
    head = tree.head()
    if missing or head is None:
        missing += [] if head is not None else ["head"]
        some = ", ".join(clip.names[:40])
        raise LabanError(
            f"retarget: found no joint for {', '.join(missing)} among {some}; accepted: a humanoid skeleton"
        )
    rows: dict[str, dict[int, float]] = {name: {joint: 1.0} for name, joint in limbs.items()}
    pelvis = tree.meet(limbs["left_hip"], limbs["right_hip"])
    chest = tree.meet(limbs["left_shoulder"], limbs["right_shoulder"])
    rows |= _trunk(tree, pelvis, chest, head)
    for side in ("left", "right"):
        shoulder, neck = limbs[f"{side}_shoulder"], rows["neck"]
        if f"{side}_collar" not in limbs:
            rows[f"{side}_collar"] = _mix(_mix(rows["spine3"], neck, 0.5), {shoulder: 1.0}, 0.4)
    matrix = np.zeros((NUM_BODY, len(clip.names)), np.float32)
    for name, weights in rows.items():
        for joint, weight in weights.items():
            matrix[JOINT[name], joint] = weight
    return matrix


def with_toes(clip: SkeletonClip) -> SkeletonClip:
    """The clip with a toe joint put ahead of each ankle that has none (files may end at the ankle).

    Only a rest pose that stands says where ahead is; other clips are returned as they are.
    """
    tree = _Tree(clip)
    limbs = {side: tree.limb(side) for side in ("left", "right")}
    head = tree.head()
    if head is None or any({"hip", "ankle"} - limb.keys() for limb in limbs.values()):
        return clip
    bare = [side for side, limb in limbs.items() if "foot" not in limb]
    hips = [tree.rest[limb["hip"]] for limb in limbs.values()]
    ankles = [tree.rest[limb["ankle"]] for limb in limbs.values()]
    up = tree.rest[head] - sum(hips) / 2
    leg = float(np.linalg.norm(hips[0] - ankles[0]))
    stands = up[1] > 0.9 * np.linalg.norm(up) and hips[0][1] - ankles[0][1] > 0.8 * leg
    if not bare or not stands:
        return clip
    ahead = np.cross(hips[0] - hips[1], [0.0, 1.0, 0.0])
    offset = leg * (_TOE_AHEAD * ahead / max(float(np.linalg.norm(ahead)), 1e-9) - np.array([0.0, _TOE_DOWN, 0.0]))
    still = np.broadcast_to(np.array([1.0, 0, 0, 0], np.float32), (clip.frames, len(bare), 4))
    return SkeletonClip(
        names=(*clip.names, *(f"{side}_toe" for side in bare)),
        parents=(*clip.parents, *(limbs[side]["ankle"] for side in bare)),
        offsets=np.concatenate([clip.offsets, np.tile(offset.astype(np.float32), (len(bare), 1))]),
        rotations=np.concatenate([clip.rotations, still], axis=1), root=clip.root, fps=clip.fps,
    )  # fmt: skip


def _mix(first: dict[int, float], second: dict[int, float], share: float) -> dict[int, float]:
    return {
        joint: first.get(joint, 0.0) * (1 - share) + second.get(joint, 0.0) * share for joint in {**first, **second}
    }


def _trunk(tree: _Tree, pelvis: int, chest: int, head: int) -> dict[str, dict[int, float]]:
    """Rows of pelvis, spine, neck and head from the joints on the way from the pelvis to the head."""
    spine = tree.way(pelvis, chest) or [chest]
    above = tree.way(chest, head)[:-1]
    first = {spine[0]: 1.0}
    last = {spine[-1]: 1.0}
    necks = [joint for joint in above if tree.far(chest, joint)]
    neck = {necks[0]: 1.0} if necks else _mix(last, {head: 1.0}, 0.65)
    if len(spine) == 1:  # trunk of two bones: the chest joint stands for the upper spine
        first, middle, last = _mix({pelvis: 1.0}, last, 0.4), _mix({pelvis: 1.0}, last, 0.8), _mix(last, neck, 0.4)
    elif len(spine) == 2:
        middle = _mix(first, last, 0.5)
    else:
        middle = {spine[len(spine) // 2]: 1.0}
    return {"pelvis": {pelvis: 1.0}, "spine1": first, "spine2": middle, "spine3": last, "neck": neck,
            "head": {head: 1.0}}  # fmt: skip


class _Tree:
    """Names and ancestry of a skeleton."""

    def __init__(self, clip: SkeletonClip) -> None:
        self.parents = clip.parents
        self.rest = clip.rest_joints()
        self.sides, self.words = zip(*(read_name(name) for name in clip.names), strict=True)

    def chain(self, joint: int) -> list[int]:
        """The joint and its ancestors, root last."""
        found = []
        while joint >= 0:
            found.append(joint)
            joint = self.parents[joint]
        return found

    def meet(self, first: int, second: int) -> int:
        """Lowest common ancestor."""
        ancestors = set(self.chain(second))
        return next(joint for joint in self.chain(first) if joint in ancestors)

    def far(self, first: int, second: int) -> bool:
        """Whether two joints stand apart in the rest pose."""
        return float(np.linalg.norm(self.rest[first] - self.rest[second])) > _STEP

    def way(self, start: int, end: int) -> list[int]:
        """Joints below `start` down to `end`, without those that stand where the one before does."""
        chain = self.chain(end)
        path = chain[: chain.index(start)][::-1] if start in chain else [end]
        kept, last = [], start
        for joint in path:
            if self.far(last, joint) or joint == end:
                kept.append(joint)
                last = joint
        return kept

    def head(self) -> int | None:
        """The first joint in the middle that is named head."""
        heads = [joint for joint, words in enumerate(self.words) if words == "head" and self.sides[joint] is None]
        return heads[0] if heads else None

    def limb(self, side: str) -> dict[str, int]:
        """Joints of one side by role; the earliest joint in the file that fits and hangs from the role before it."""
        own = [joint for joint, name in enumerate(self.sides) if name == side]
        names = {self.words[joint] for joint in own}
        found: dict[str, int] = {}
        for roles in (("hip", "knee", "ankle", "foot"), ("collar", "shoulder", "elbow", "wrist")):
            above: int | None = None
            for role in roles:
                joint = self._first(own, _accepted(role, names), above)
                if joint is not None:
                    found[role] = above = joint
        if "ankle" in found and "foot" not in found:
            tips = [joint for joint, parent in enumerate(self.parents) if parent == found["ankle"]]
            if tips and self.far(found["ankle"], tips[0]):
                found["foot"] = tips[0]
        return found

    def _first(self, own: Sequence[int], words: Sequence[str], above: int | None) -> int | None:
        for word in words:
            for joint in own:
                if self.words[joint] == word and (above is None or above in self.chain(joint)[1:]):
                    return joint
        return None


def _accepted(role: str, names: set[str]) -> Sequence[str]:
    """Words for a role; "shoulder" is the collar where the upper arm has a word of its own, "foot" the toes where the
    ankle has."""
    words = _ROLES[role]
    if role == "collar" and not names & set(_ROLES["shoulder"][:-2]):
        return words[:-1]
    if role == "shoulder" and names & set(words[:5]):
        return words[:5]
    if role == "foot" and "ankle" not in names:
        return tuple(word for word in words if word != "foot")
    if role == "wrist" and {"hand", "wrist"} <= names:
        return ("wrist", "hand")
    return words


def read_name(name: str) -> tuple[str | None, str]:
    """Side of a joint's name (None: middle) and its words run together, without prefixes and numbers."""
    words = [word.lower() for word in _WORDS.findall(name.rpartition(":")[2])]
    side = None
    kept = []
    for word in words:
        if side is None and word in _SIDES:
            side = _SIDES[word]
        elif side is None and (glued := _GLUED.match(word)):
            side = _SIDES[glued[1]]
            kept.append(glued[2])
        elif word not in _NOISE:
            kept.append(word)
    return side, "".join(kept)
