"""`laban setup`."""

from __future__ import annotations

from typing import Annotated

import typer

from laban.cli.options import Json, emit


def command(
    check: Annotated[bool, typer.Option("--check", help="Only list what is there and what is missing.")] = False,
    json: Json = False,
) -> None:
    """Fetch what cannot be a plain dependency (hash-checked, into the cache) and warm the caches."""
    emit({"check": check}, json, [f"check: {check}"])
