"""`laban detect` as a user runs it: times real time, the share of the work after the encoder, and memory over hours.

    python -m benchmarks.detect_speed [--video FILE] [--seconds 60] [--repeats 3] [--hours 3] [--rate 0.2]

Without `--video`, a person of our own is generated and filmed at 854 x 480, 30 frames a second. The film is repeated,
packet by packet, to `--seconds`; wall time is that of the whole process, from its start to the JSON file. The share is
of the process's own clocks in the same run. Memory is the peak of a process that reads `--hours` of the same person at
`--rate` pictures a second: fewer pictures cost less time, while what is kept of them lies on the same 20 fps grid (at
30 pictures a second, 12 MB more: the landmarks of the five minutes of a track that is still followed).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import av

SIZE = (854, 480)
BARS = {"real_time": 1.0, "after_share": 0.05, "peak_mb": 1500}
TEXT = "a person stands and waves with the right hand"


def film_of_our_own(path: Path) -> None:
    """Six seconds of a generated person at 854 x 480."""
    from motion.generate import GenerateConfig, generate
    from viz.movie import Look, film

    motion = generate([TEXT], 6.0, config=GenerateConfig(seed=1))[0]
    film(motion, path, Look(size=SIZE, camera="fixed"), fps=30, progress=False)


def slowed(source: Path, target: Path, rate: float) -> None:
    """The same film with `rate` pictures a second, of the same length."""
    from models.video.reading import open_video
    from viz.video import open_video as new_film

    with open_video(source) as video, new_film(target, rate) as add:
        for chunk in video.chunks(fps=rate):
            for picture in chunk.frames:
                add(picture)


def repeated(source: Path, target: Path, seconds: float) -> None:
    """The film again and again until `seconds`, by copying packets."""
    with av.open(str(source)) as box, av.open(str(target), "w") as out:
        given = box.streams.video[0]
        stream = out.add_stream_from_template(given)
        packets = [(packet.pts, packet.dts, packet.duration, bytes(packet), packet.is_keyframe)
                   for packet in box.demux(given) if packet.dts is not None]  # fmt: skip
        base, first = given.time_base, min(dts for _, dts, *_ in packets)
        end = max(pts + duration for pts, _, duration, *_ in packets) - min(pts for pts, *_ in packets)
        for turn in range(max(round(seconds / float(end * base)), 1)):
            for pts, dts, duration, data, key in packets:
                packet = av.Packet(data)
                packet.pts, packet.dts, packet.duration = pts + turn * end - first, dts + turn * end - first, duration
                packet.time_base, packet.stream, packet.is_keyframe = base, stream, key
                out.mux(packet)


def detect(video: Path, checkpoint: str, outputs: list[Path]) -> tuple[float, float, dict[str, Any]]:
    """(wall seconds, peak resident megabytes, results) of one `laban detect`; fails when it does.

    The results' `timings` also get the processor seconds of the whole process, which other work does not change much.
    """
    command = [sys.executable, "-c", "from laban.cli import main; main()", "detect", str(video), "--json",
               "--checkpoint", checkpoint]  # fmt: skip
    for output in outputs:
        command += ["-o", str(output)]
    said = video.with_suffix(".said")
    with said.open("wb") as stream:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=stream)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"laban detect failed with status {process.returncode}")
    results = json.loads(said.read_text())
    results["timings"]["cpu"] = usage.ru_utime + usage.ru_stime
    return wall, usage.ru_maxrss / 1024, results


def speed(clip: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Times real time of the whole process, and what part of its work comes after the encoder."""
    video = folder / "minute.mp4"
    repeated(clip, video, options.seconds)
    runs = [detect(video, options.checkpoint, [folder / "out.json"]) for _ in range(options.repeats)]
    timings = [said["timings"] for _, _, said in runs]
    share = [t["after"] / (t["reading_and_encoding"] + t["after"]) for t in timings]
    walls = [wall for wall, _, _ in runs]
    picture, _, drawn = detect(video, options.checkpoint, [folder / "out.json", folder / "out.png"])
    with av.open(str(video)) as box:
        size = [box.streams.video[0].width, box.streams.video[0].height]
    seconds = runs[0][2]["seconds"]
    return {
        "seconds": seconds, "size": size, "segments": len(runs[0][2]["segments"]),
        "real_time": round(seconds / median(walls), 2), "real_time_worst": round(seconds / max(walls), 2),
        "wall_s": [round(wall, 2) for wall in walls], "cpu_s": [round(t["cpu"], 2) for t in timings],
        "encoding_s": [round(t["reading_and_encoding"], 2) for t in timings],
        "after_s": [round(t["after"], 3) for t in timings], "after_share": round(median(share), 4),
        "start_and_files_s": round(median(w - t["reading_and_encoding"] - t["after"]
                                          for w, t in zip(walls, timings, strict=True)), 2),
        "with_picture": {"wall_s": round(picture, 2), "files_s": round(drawn["timings"]["files"], 2)},
    }  # fmt: skip


def memory(clip: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Peak memory of a process that reads hours of video."""
    slow, video = folder / "slow.mp4", folder / "hours.mp4"
    slowed(clip, slow, options.rate)
    repeated(slow, video, 3600 * options.hours)
    wall, peak, said = detect(video, options.checkpoint, [folder / "hours.json", folder / "hours.png"])
    return {
        "hours": round(said["seconds"] / 3600, 3), "pictures_a_second": options.rate, "people": said["people"],
        "segments": len(said["segments"]), "wall_s": round(wall, 1), "peak_mb": round(peak),
        "after_share": round(said["timings"]["after"] / wall, 4),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--hours", type=float, default=3.0, help="0 leaves the memory out")
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--checkpoint", default="detect")
    options = parser.parse_args()
    result: dict[str, Any] = {"cores": os.cpu_count(), "load_average": os.getloadavg()[0], "bars": BARS}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        clip = options.video or folder / "own.mp4"
        if options.video is None:
            film_of_our_own(clip)
        if options.repeats:
            result["speed"] = speed(clip, folder, options)
        if options.hours:
            result["memory"] = memory(clip, folder, options)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
