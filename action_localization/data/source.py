"""Annotation files as text: plain or gzipped, JSON, lines of JSON, and tables with or without a header."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from laban.errors import LabanError
from laban.scores.source import MAX_BYTES, Source, read_source

Row = dict[str, str]


def open_source(path: str | Path) -> Source:
    """The text of a file, unpacked if its name ends in `.gz`; LabanError as in `read_source`."""
    path = Path(path)
    if path.suffix.lower() != ".gz":
        return read_source(path)
    try:
        with gzip.open(path) as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise LabanError(f"{path}: cannot be unpacked ({getattr(error, 'strerror', None) or error})") from None
    if len(data) > MAX_BYTES:
        raise LabanError(f"{path}: unpacks to more than {MAX_BYTES // 2**20} MiB; accepted: up to that")
    try:
        return Source(path, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise LabanError(f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8; accepted: UTF-8 text") from None


def kind(path: str | Path) -> str:
    """The suffix that says what is inside, `.gz` looked through: `.json`, `.jsonl`, `.csv`, `.tsv`, `.txt` …"""
    path = Path(path)
    return (Path(path.stem) if path.suffix.lower() == ".gz" else path).suffix.lower()


def beside(path: Path, name: str) -> Path | None:
    """The file `name`, plain or gzipped, in the folder of `path`."""
    return next((found for found in (path.parent / name, path.parent / f"{name}.gz") if found.is_file()), None)


def split_in_name(source: Source, *splits: str) -> str:
    """The first of `splits` that the file's name holds, "" if it holds none."""
    name = source.path.name.lower()
    return next((split for split in splits if split in name), "")


def records(source: Source) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file with one JSON object a line, with their line numbers."""
    for number, line in enumerate(source.lines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise source.fail(f"is not JSON ({error})", number) from None
        if not isinstance(record, dict):
            raise source.fail(f"found {type(record).__name__}; accepted: one JSON object a line", number)
        yield number, record


def cells(source: Source, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """The rows of a table without header, with their line numbers; empty lines are passed over."""
    rows = csv.reader([f"{line}\n" for line in source.lines()], delimiter=delimiter, skipinitialspace=True)
    try:
        for row in rows:
            if any(cell.strip() for cell in row):
                yield rows.line_num, [cell.strip() for cell in row]
    except csv.Error as error:
        raise source.fail(f"is not a table ({error})", rows.line_num) from None


def table(source: Source, needed: tuple[str, ...], delimiter: str = ",") -> Iterator[tuple[int, Row]]:
    """The rows of a table by the names of its header line; LabanError for a missing column or a short row."""
    rows = cells(source, delimiter)
    _, header = next(rows, (1, []))
    missing = [name for name in needed if name not in header]
    if missing:
        raise source.fail(f"has no column {missing[0]!r}; accepted: a header with {', '.join(needed)}", 1)
    for number, row in rows:
        if len(row) < len(header):
            raise source.fail(f"found {len(row)} cells; accepted: {len(header)}, as in the header", number)
        yield number, dict(zip(header, row, strict=False))
