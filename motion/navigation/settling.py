"""Sitting down, lying down and getting up again: turned about, brought down by the words, and into the pose exactly.

Nobody has to be trained for it: several futures of the words are drawn, the one that comes nearest to the pose on the
furniture is bent into it (`motion.enforce`), and held. Getting up is drawn likewise; where the words lift nobody, the
way down is gone back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from models import objectives
from models.body.kinematics import forward_kinematics
from models.body.model import BodyModel
from models.body.skeleton import JOINT, NUM_BODY, NUM_JOINTS, PARTS
from models.motion import Motion
from models.representation.primitive import FUTURE
from models.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from models.scene.seating import GoalPose
from motion.constraints import Constraints, JointKey, PoseKey, RootKey
from motion.enforce import enforce
from motion.navigation.footing import finished
from motion.navigation.metrics import penetration, surfaces
from motion.navigation.placing import Target
from motion.navigation.shifting import shifted
from motion.navigation.stance import stand_firm
from motion.navigation.surveyed import Surveyed
from motion.navigation.turning import CALM, STANDS, TRIES, Stand, heading_of, turn_about
from motion.primitives.choice import motions_of
from motion.primitives.control import world_joints
from motion.primitives.endings import endings
from motion.primitives.frames import FPS
from motion.primitives.network import PrimitiveModel
from motion.primitives.rollout import STUDENT, Made, State, noise_for, step
from motion.primitives.steering import conditions_for

DOWN, UP = (6, 10), (5, 9)
"""Primitives that sitting down, and getting up, takes: from, to."""
DOWNWARDS = "a person sits down"
"""What is said on the way down, also to who lies down: they sit on the edge first."""
PAUSE = 0.3
"""Seconds that somebody sits before moving on."""
HELD = 1.5
"""Seconds that somebody stays seated before anything else."""
BREATH, BREATHING = 0.012, 0.25
"""Radians that the chest moves, and times a second."""
TALL, UPRIGHT = 0.92, 4.0
"""Metres of pelvis height of somebody who stands upright, and what a metre less of it costs who gets up."""
ANKLE = 0.16
"""Metres of height of an ankle whose foot stands."""
STEP, LIFT = 9, 0.05
"""Frames of a step into place, and metres that the foot is lifted."""
ARMS_IN = (0.1, 0.55)
"""Share of the way down in which the arms are brought to where they will rest, so that they pass between arm rests."""
LOOKED = 6
"""Of the futures that end best so many are looked at for what they touch on the way."""


Bodies = tuple[Float[ndarray, "22 3"], Float[ndarray, "22 3 3"]]
"""Places and global rotations of the joints in the world."""


class Settler:
    """Brings one person down and up again; it remembers the way down."""

    def __init__(self, network: PrimitiveModel, body: BodyModel, room: Surveyed, seed: int = 0) -> None:
        self.network, self.body, self.room = network, body, room
        self._generator = torch.Generator().manual_seed(seed)
        self._down: Motion | None = None
        self._shift: Motion | None = None

    def settle(self, state: State, target: Target, progress: Callable[[int], None]) -> Motion:
        """Turn about, sit down, move into the pose where it is another one, and stay."""
        stand = Stand(torch.tensor(target.spot, dtype=torch.float32), target.heading)
        about = turn_about(self.network, state, stand, self.room.distance, self._generator, progress)
        parts = [finished(about, self.network, self.room.scene.floor)] if about else []
        state = state_of(parts[0], self.network) if parts else state
        drawn = self._drawn(state, DOWNWARDS, DOWN[1], progress)
        self._down, self._shift = self._bent(drawn, pose_now(state), target), None
        parts.append(self._down)
        if target.first is not target.pose:
            self._shift = shifted(target, self.network.rest[:NUM_BODY].cpu(), self.room)
            parts += [self.held(target.first, PAUSE), self._shift]
        return strung([*parts, self.held(target.pose)])

    def held(self, pose: GoalPose, seconds: float = HELD) -> Motion:
        """The pose, breathing."""
        frames = round(seconds * FPS)
        rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (1, frames, NUM_JOINTS, 3, 3)).copy()
        rotations[0, :, :NUM_BODY] = pose.rotations.numpy()
        swing = BREATH * np.sin(2 * np.pi * BREATHING * np.arange(1, frames + 1) / FPS)
        bend = torch.tensor(np.stack([swing, 0 * swing, 0 * swing], -1), dtype=torch.float32)
        moved = axis_angle_to_matrix(bend).numpy()
        rotations[0, :, JOINT["spine2"]] = rotations[0, :, JOINT["spine2"]] @ moved
        rotations[0, :, JOINT["neck"]] = rotations[0, :, JOINT["neck"]] @ moved.swapaxes(-1, -2)
        root = (pose.pelvis - self.network.rest[0].cpu()).numpy().astype(np.float32)
        return Motion(rotations, np.broadcast_to(root, (1, frames, 3)).copy(), FPS)

    def rise(self, state: State, text: str, progress: Callable[[int], None]) -> Motion:
        """Up again over one's feet, by the words or the way that one came down, whichever touches and slides less.

        Who has moved after sitting down moves back before.
        """
        assert self._down is not None  # who gets up has settled before
        before = list[Motion]()
        if self._shift is not None:
            before.append(backwards(self._shift))
            state = state_of(before[0], self.network)
        drawn = self._drawn(state, text, UP[1], progress)
        found = [eased(backwards(self._down)), *self._risen(drawn, state)]
        return strung([*before, min(found, key=lambda motion: self._cost(motion) + UPRIGHT * self._stoops(motion))])

    def act(self, state: State, text: str, progress: Callable[[int], None]) -> Motion:
        """An action by its words, for as long as it usually takes."""
        from models.text.known import load_known

        known = load_known([action for action, _ in self.network.config.known], self.network.config.text)
        ends = endings([text], known)[0]
        count = math.ceil((ends.seconds or 3.0) * FPS / FUTURE)
        condition = conditions_for(self.network, [text], 1, 1)[0]
        made: list[Made] = []
        for _ in range(count):
            with torch.no_grad():
                before, noise = state, CALM * noise_for(self.network, 1, self._generator)
                frames = step(self.network, before, condition, noise, STUDENT)[1]
                state, frames = stand_firm(self.network, before, frames)
            made.append(frames)
            progress(1)
        return finished(made, self.network, self.room.scene.floor)

    # ------------------------------------------------------------------------------------------------- inside

    def _drawn(self, state: State, text: str, count: int, progress: Callable[[int], None]) -> list[Made]:
        """So many primitives of several futures of the words."""
        condition = conditions_for(self.network, [text], 1, TRIES)[0]
        now, made = state.repeated(TRIES), list[Made]()
        for _ in range(count):
            with torch.no_grad():
                noise = CALM * noise_for(self.network, TRIES, self._generator)
                now, frames = step(self.network, now, condition, noise, STUDENT)
            made.append(frames)
            progress(1)
        return made

    def _bent(self, drawn: Sequence[Made], start: PoseKey, target: Target) -> Motion:
        """Of the futures that come near to the pose the one that touches least on its way there."""
        joints = torch.cat([world_joints(self.network, one.rotations, one.pelvis) for one in drawn], 1)
        away = shape_distance(joints, target.first.joints)
        ends = [FUTURE * k - 1 for k in range(DOWN[0], DOWN[1] + 1)]
        costs = away[:, ends] + 0.01 * torch.arange(len(ends))
        order = costs.flatten().argsort()[:LOOKED].tolist()
        found = [self._into(drawn, k // len(ends), ends[k % len(ends)] + 1, start, target) for k in order]
        return min(found, key=self._cost)

    def _into(self, drawn: Sequence[Made], person: int, frames: int, start: PoseKey, target: Target) -> Motion:
        """One future, bent into the pose; the feet go to their places one after the other and stay."""
        motion = motions_of([one.people(slice(person, person + 1)) for one in drawn], self.network)[0].slice(0, frames)
        pose, pelvis = target.first.rotations.double().numpy(), target.first.pelvis.double().numpy()
        end = PoseKey((frames - 1) / FPS, pose, pelvis)
        feet = planted(self._bodies(start), self._bodies(end), frames) if target.stands else ()
        motion = enforce(motion, Constraints((start, end), (), feet, anchored=False), self.body)
        return replace(motion, rotations=arms_towards(motion.rotations, pose))

    def _bodies(self, key: PoseKey) -> Bodies:
        """World places and rotations of a pose's joints."""
        rest = self.network.rest[:NUM_BODY].cpu().double()
        found = forward_kinematics(torch.from_numpy(key.rotations), rest - rest[0], torch.from_numpy(key.pelvis))
        return found[0].numpy(), found[1].numpy()

    def _joints(self, motion: Motion) -> Float[Tensor, "frames 22 3"]:
        rotations = torch.from_numpy(motion.rotations[:1, :, :NUM_BODY].astype(np.float32))
        pelvis = torch.from_numpy(motion.root[:1].astype(np.float32)) + self.network.rest[0].cpu()
        return world_joints(self.network, rotations, pelvis)[0]

    def _touched(self, motion: Motion) -> float:
        """Mean penetration of some of the frames, of the whole surface, in DIMOS's unit."""
        few = slice(None, None, 6)
        part = replace(motion, rotations=motion.rotations[:, few], root=motion.root[:, few])
        return float(torch.cat([penetration(v, self.room.distance) for v, _ in surfaces(part, self.body)]).mean())

    def _cost(self, motion: Motion) -> float:
        """What speaks against a way down or up: touching things, and sliding."""
        return 0.05 * self._touched(motion) + self._skates(motion)

    def _stoops(self, motion: Motion) -> float:
        """Metres that the pelvis is too low at the end for somebody who stands."""
        return max(0.0, TALL - float(motion.root[0, -1, 1] + self.network.rest[0, 1]))

    def _skates(self, motion: Motion) -> float:
        return float(objectives.foot_skate(self._joints(motion), FPS))

    def _risen(self, drawn: Sequence[Made], state: State) -> list[Motion]:
        """The futures in which somebody stands at the end, brought to stand where the feet were; the best few."""
        before = world_joints(self.network, state.rotations, state.pelvis)[0, -1]
        feet = before[[JOINT["left_ankle"], JOINT["right_ankle"]]][:, 0::2].mean(0)
        start = pose_now(state)
        joints = torch.cat([world_joints(self.network, one.rotations, one.pelvis) for one in drawn], 1)
        costs: dict[tuple[int, int], float] = {}
        for count in range(UP[0], UP[1] + 1):
            part = joints[:, : count * FUTURE]
            last = part[:, -1]
            upright = (last[:, 0, 1] > STANDS) & (last[:, JOINT["head"], 1] - last[:, 0, 1] > 0.5)
            cost = (last[:, 0, 0::2] - feet).norm(dim=-1) + objectives.foot_skate(part, FPS) + 0.05 * count
            cost = cost + UPRIGHT * (TALL - last[:, 0, 1]).clamp_min(0)
            costs |= {(k, count): float(cost[k]) for k in range(len(cost)) if bool(upright[k])}
        found = []
        for person, count in sorted(costs, key=costs.__getitem__)[:LOOKED]:
            own = [one.people(slice(person, person + 1)) for one in drawn[:count]]
            motion = motions_of(own, self.network)[0]
            place = RootKey((motion.frames - 1) / FPS, (float(feet[0]), float(feet[1])), heading_of(state))
            bodies = self._bodies(start)
            stay = planted(bodies, bodies, motion.frames) if float(before[[7, 8], 1].max()) < ANKLE else ()
            found.append(enforce(motion, Constraints((start,), (place,), stay, anchored=False), self.body))
        return found


def pose_now(state: State) -> PoseKey:
    """The last frame of somebody, due at the beginning."""
    return PoseKey(0.0, state.rotations[0, -1].double().cpu().numpy(), state.pelvis[0, -1].double().cpu().numpy())


def arms_towards(
    rotations: Float[ndarray, "1 frames 55 3 3"], pose: Float[ndarray, "22 3 3"]
) -> Float[ndarray, "1 frames 55 3 3"]:
    """The same with arms that are in their last pose before the end (`ARMS_IN`)."""
    done, first, last = rotations.copy(), *ARMS_IN
    share = np.clip((np.linspace(0, 1, rotations.shape[1]) - first) / (last - first), 0, 1)
    share = share * share * (3 - 2 * share)
    for joint in (j for part in ("left arm", "right arm") for j in PARTS[part] if j < NUM_BODY):
        own = torch.from_numpy(rotations[0, :, joint].astype(np.float64))
        vector = matrix_to_axis_angle(torch.from_numpy(pose[joint]) @ own.transpose(-1, -2))
        done[0, :, joint] = (axis_angle_to_matrix(torch.from_numpy(share)[:, None] * vector) @ own).numpy()
    return done


def planted(start: Bodies, end: Bodies, frames: int) -> tuple[JointKey, ...]:
    """Both ankles from where they are to where they will be, the left one first, in a step each; else they stay."""
    keys: list[JointKey] = []
    for number, side in enumerate(("left", "right")):
        ankle = JOINT[f"{side}_ankle"]
        (here, turn), (there, later) = ((places[ankle], turns[ankle]) for places, turns in (start, end))
        first = 1 + number * STEP
        for frame in range(0, frames, 2):
            share = float(np.clip((frame - first) / STEP, 0, 1))
            share = share * share * (3 - 2 * share)
            place = here + share * (there - here)
            place[1] += LIFT * math.sin(math.pi * share) * min(1.0, float(np.linalg.norm(there - here)) / 0.1)
            keys.append(JointKey(frame / FPS, f"{side}_ankle", place, between(turn, later, share)))
    return tuple(keys)


def between(first: Float[ndarray, "3 3"], second: Float[ndarray, "3 3"], share: float) -> Float[ndarray, "3 3"]:
    """So much of the shortest turn from one rotation to another."""
    vector = matrix_to_axis_angle(torch.from_numpy(second @ first.T))
    return (axis_angle_to_matrix(share * vector)).numpy() @ first


def shape_distance(
    joints: Float[Tensor, "people frames 22 3"], pose: Float[Tensor, "22 3"]
) -> Float[Tensor, "people frames"]:
    """Mean distance, metres, of the joints to a pose, both with the pelvis at x = z = 0 and turned alike."""
    own, wanted = facing_ahead(joints), facing_ahead(pose)
    return (own - wanted).norm(dim=-1).mean(-1)


def facing_ahead(joints: Float[Tensor, "*batch 22 3"]) -> Float[Tensor, "*batch 22 3"]:
    """Joints about the pelvis' place on the floor, turned so that the hips face +Z."""
    across = joints[..., JOINT["left_hip"], :] - joints[..., JOINT["right_hip"], :]
    angle = torch.atan2(across[..., 2], across[..., 0])
    home = joints - joints[..., :1, :] * joints.new_tensor([1.0, 0.0, 1.0])
    cos, sin = angle.cos()[..., None], angle.sin()[..., None]
    x, z = home[..., 0] * cos + home[..., 2] * sin, home[..., 2] * cos - home[..., 0] * sin
    return torch.stack([x, home[..., 1], z], -1)


def backwards(motion: Motion) -> Motion:
    """The frames in the opposite order."""
    return replace(motion, rotations=motion.rotations[:, ::-1].copy(), root=motion.root[:, ::-1].copy())


def eased(motion: Motion) -> Motion:
    """The same frames, slow at first and at the end."""
    share = np.arange(motion.frames) / max(motion.frames - 1, 1)
    index = np.round((share * share * (3 - 2 * share)) * (motion.frames - 1)).astype(int)
    return replace(motion, rotations=motion.rotations[:, index], root=motion.root[:, index])


def strung(motions: Sequence[Motion]) -> Motion:
    """One after the other."""
    return replace(motions[0], rotations=np.concatenate([one.rotations for one in motions], 1),
                   root=np.concatenate([one.root for one in motions], 1))  # fmt: skip


def state_of(motion: Motion, network: PrimitiveModel) -> State:
    """The last two frames of the first person."""
    rotations = torch.from_numpy(np.ascontiguousarray(motion.rotations[:1, -2:, :NUM_BODY])).float()
    pelvis = torch.from_numpy(np.ascontiguousarray(motion.root[:1, -2:])).float() + network.rest[0].cpu()
    return State(rotations.to(network.mean.device), pelvis.to(network.mean.device))


def places_of(motion: Motion, network: PrimitiveModel) -> Float[ndarray, "frames 2"]:
    """Where the pelvis is over the floor in each frame."""
    return (motion.root[0] + network.rest[0].cpu().numpy())[:, [0, 2]].astype(np.float64)
