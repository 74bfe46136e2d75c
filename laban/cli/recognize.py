"""`laban recognize VIDEO|MOTION`: what a trimmed clip shows, among any labels."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from laban.cli.detect import FIGURES, source_name
from laban.cli.options import Json, emit
from laban.errors import LabanError
from laban.progress import progress


def command(
    source: Annotated[str, typer.Argument(help="Video, folder of images, camera or address; or motion (.npz .bvh .glb "
                                               ".smpl .npy).")],
    labels: Annotated[str | None, typer.Option(help="What it may be: 'waves, sits down', or a file of a label a line. "
                                                    "[actions of motion capture and of detect]")] = None,
    count: Annotated[int, typer.Option("-k", min=1, help="Labels to name.")] = 5,
    output: Annotated[list[Path] | None, typer.Option("--output", "-o", help="Bars (.png .svg .pdf .jpg .webp) or "
                                                                             ".json. Repeatable.")] = None,
    rate: Annotated[float | None, typer.Option(help="Frame rate of a folder of images, or of a wrong file.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Read only this much, as of a camera.")] = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Name what a short clip shows, by any labels; laban detect says when, in longer ones."""
    import json as json_format

    outputs = output or []
    for path in outputs:
        if path.suffix.lower() not in (*FIGURES, ".json"):
            raise LabanError(
                f"-o {path}: format {path.suffix!r} is unknown; accepted: {', '.join((*FIGURES, '.json'))}"
            )
    from action_localization.recognition.recognize import recognize
    from laban.files import atomic_path
    from viz.chances import draw_chances

    with progress(f"reading {source_name(source)}", None, quiet=json) as advance:
        found = recognize(source, labels, count=count, rate=rate, seconds=seconds, advance=advance)
    for note in found.notes:
        print(f"laban: {source}: {note}", file=sys.stderr)
    title = f"{Path(source).name or source}, {found.seconds:.1f} s"
    results = {
        "source": source, "seconds": found.seconds, "labels": len(found.chances),
        "best": [{"label": label, "chance": chance} for label, chance in found.best],
        "units": [{"kind": kind, "name": name, "share": share} for kind, name, share in found.units],
        "notes": list(found.notes), "files": [str(path) for path in outputs],
    }  # fmt: skip
    for path in outputs:
        if path.suffix.lower() == ".json":
            with atomic_path(path) as temporary:
                temporary.write_text(json_format.dumps(results, indent=1) + "\n", encoding="utf-8")
        else:
            draw_chances(found.best, path, title=title)
    width = max(len(label) for label, _ in found.best)
    lines = [f"{title}: {len(found.chances)} labels", *(f"  {label:{width}}  {chance:.2f}" for label, chance in
                                                        found.best)]  # fmt: skip
    if found.units:
        lines.append("  by: " + ", ".join(name for _, name, _ in found.units))
    if outputs:
        lines.append(f"-> {', '.join(map(str, outputs))}")
    emit(results, json, lines)
