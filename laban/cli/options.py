"""Options that several commands share, spelled and explained once."""

from __future__ import annotations

import json as json_format
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer


class Device(str, Enum):
    """Where to compute; `auto` takes a GPU when there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Outputs = Annotated[
    list[Path], typer.Option("--output", "-o", help="File to write; the suffix picks the format. Repeatable.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON on stdout.")]
Seed = Annotated[int, typer.Option("--seed", help="Makes the run repeatable.", min=0)]
DeviceOption = Annotated[Device, typer.Option("--device", help="Where to compute.")]
Body = Annotated[
    Path | None,
    typer.Option("--body", help="SMPL-X-format body file (.npz) instead of the open body.", envvar="LABAN_BODY"),
]


def emit(results: Mapping[str, Any], as_json: bool, lines: list[str]) -> None:
    """Print `results` as one JSON object, or `lines` for a human reader."""
    print(json_format.dumps(results, indent=2, default=str) if as_json else "\n".join(lines))
