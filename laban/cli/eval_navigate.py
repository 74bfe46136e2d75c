"""`laban eval navigate`: people in rooms by DIMOS's measures, each method a row, beside going straight at the goal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laban.cli.options import Device, DeviceOption, Json, emit
from laban.progress import progress

if TYPE_CHECKING:
    from motion.evaluation_navigate import Summary

BARS = {"success": "≥ 0.95", "walkable": "≥ 0.97", "contact": "≥ 0.97"}
SIT_BARS = {"contact": "≥ 0.95", "penetration": "≤ 2.0", "stood up": "≥ 0.90"}
SHOWN = ("success", "seconds", "distance", "contact", "walkable", "penetration", "deepest", "skate", "jerk", "work")
SIT_SHOWN = ("contact", "penetration", "deepest", "stood up", "seconds", "skate", "work")


def navigate(
    rooms: Annotated[Path | None, typer.Option("--rooms", help="Folder with rooms.json and its meshes.")] = None,
    generated: Annotated[int, typer.Option("--generated", min=0, help="Held-out generated rooms.")] = 10,
    row: Annotated[
        list[str] | None,
        typer.Option(
            "--row",
            help="straight, policy, search, scene policy, scene search, path, dip, hybrid, sit policy, sit search.",
        ),  # fmt: skip
    ] = None,
    routes: Annotated[int, typer.Option("--routes", min=1, help="Ways in each room.")] = 20,
    slow: Annotated[int, typer.Option("--slow", min=1, help="The same for scene search, path, dip and hybrid.")] = 2,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Of each way: mean and best are given.")] = 1,
    sit: Annotated[bool, typer.Option("--sit/--no-sit", help="Also sit down and stand up.")] = True,
    text: Annotated[str, typer.Option("--text", help="How people go.")] = "walk",
    search: Annotated[int, typer.Option("--search", help="Noises tried for each primitive in the row search.")] = 16,
    checkpoint: Annotated[str, typer.Option("--checkpoint")] = "primitives_research",
    policy: Annotated[str, typer.Option("--policy")] = "goal_policy",
    scene_policy: Annotated[str, typer.Option("--scene-policy", help="Of laban train scene-policy.")] = "walk_policy",
    act_policy: Annotated[str, typer.Option("--act-policy", help="The same with --task act.")] = "act_policy",
    cache: Annotated[Path | None, typer.Option("--cache", help="Keep results here, and go on from them.")] = None,
    device: DeviceOption = Device.auto,
    json: Json = False,
) -> None:
    """People in rooms: success, time, contact, walkable share, penetration, diversity; mean and best of seeds."""
    from models.devices import pick_device
    from motion.evaluation_navigate import Asked, Walkers, evaluate_navigate, rooms_of
    from motion.navigation.goal_policy import digest_of, load_goal_policy
    from motion.navigation.walking import Search
    from motion.primitives.network import load_primitives

    asked = Asked(tuple(row or ("straight", "policy", "search")), routes, slow, seeds, sit, cache)
    scenes = rooms_of(rooms, generated)
    network = load_primitives(checkpoint).requires_grad_(False).to(pick_device(device.value))
    names = (policy, scene_policy, act_policy)
    loaded = [load_goal_policy(name, checkpoint).to(network.mean.device) for name in names]
    digests = (digest_of(checkpoint), digest_of(policy), digest_of(scene_policy), digest_of(act_policy))
    walkers = Walkers(network, loaded[0], loaded[1], loaded[2], gait=text, search=Search(tries=search), digests=digests)
    count = len(scenes) * (len(asked.rows) + sit)
    with progress("rooms", count, quiet=json) as advance:
        found = evaluate_navigate(scenes, walkers, asked, finished=advance)
    emit({"rooms": [scene.name for scene in scenes], "rows": [plain(one) for one in found]}, json,
         [told(one) for one in found])  # fmt: skip


def plain(found: Summary) -> dict[str, Any]:
    """A row as JSON."""
    rooms = {room: {name: round(v, 4) for name, v in own.items()} for room, own in found.by_room.items()}
    return {"row": found.row, "rooms": found.rooms, "n": found.cases, "seeds": found.seeds,
            "mean [95 %]": {name: [round(v, 4) for v in own] for name, own in found.mean.items()},
            "best of seeds": {name: round(v, 4) for name, v in found.best.items()}, "by room": rooms}  # fmt: skip


def told(found: Summary) -> str:
    """A row for a reader: mean with interval, best of seeds where there are several, and the bar."""
    from motion.evaluation_navigate import SITTING

    sits = found.row in SITTING
    bars = SIT_BARS if sits else BARS
    lines = [f"{found.row}: {found.rooms} rooms, n = {found.cases}, seeds {found.seeds}"]
    for name in (*(SIT_SHOWN if sits else SHOWN), "diversity"):
        if name in found.mean:
            mean, low, high = found.mean[name]
            best = f"   best {found.best[name]:.3f}" if found.seeds > 1 and name in found.best else ""
            bar = f"   (bar {bars[name]})" if name in bars else ""
            lines.append(f"  {name:12s} {mean:8.3f} [{low:.3f}, {high:.3f}]{best}{bar}")
    if not sits:
        weak = sorted(found.by_room.items(), key=lambda one: (one[1]["success"], one[1]["walkable"]))[:3]
        lines.append("  weakest rooms: " + "; ".join(f"{room} success {own['success']:.2f}, walkable "
                     f"{own['walkable']:.3f}, contact {own['contact']:.3f}" for room, own in weak))  # fmt: skip
    return "\n".join(lines)
