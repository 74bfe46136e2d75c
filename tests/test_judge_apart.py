"""The judge stays apart: nothing that makes, chooses or trains motion can reach it, and its weights are frozen."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from laban.weights import EMBEDDED

PACKAGES = ("laban", "models", "motion", "viz", "action_localization")
MAY_IMPORT = ("motion.judge", "motion.evaluation", "laban.cli.eval")
"""The judge itself, the evaluation protocol, and the command that prints it; benchmarks and tests besides."""


def modules(root: Path) -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path) -> Iterator[str]:
    """Every module name that a file imports, at load time or inside a function, as a statement or by name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reached(start: str, graph: dict[str, set[str]]) -> set[str]:
    seen, queue = set(), [start]
    while queue:
        name = queue.pop()
        if name not in seen:
            seen.add(name)
            queue += graph.get(name, ())
    return seen


@pytest.fixture(scope="module")
def graph(repository: Path) -> dict[str, set[str]]:
    paths = modules(repository)
    return {name: {target for target in imported(path) if target in paths} for name, path in paths.items()}


def test_only_measurement_imports_the_judge(graph):
    users = {name for name, targets in graph.items() if any(t.startswith("motion.judge") for t in targets)}
    assert {"motion.judge.judge", "motion.judge.train"} <= users
    assert [name for name in sorted(users) if not name.startswith(MAY_IMPORT)] == []


def test_no_chain_of_imports_leads_from_making_motion_to_the_judge(graph):
    makers = [name for name in graph if not name.startswith(("motion.judge", "motion.evaluation", "laban.cli"))]
    assert makers
    for name in makers:
        chain = [target for target in reached(name, graph) if target.startswith("motion.judge")]
        assert chain == [], f"{name} reaches {chain}"


def test_no_module_names_the_judge_checkpoint_but_the_judge(repository):
    for name, path in modules(repository).items():
        if not name.startswith(MAY_IMPORT):
            text = ast.dump(ast.parse(path.read_text(encoding="utf-8")))
            assert "Constant(value='judge')" not in text, f"{name} names the checkpoint"


def test_the_embedded_judge_is_the_one_its_config_names():
    folder = EMBEDDED / "judge"
    config = json.loads((folder / "config.json").read_text())
    assert hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() == config["sha256"]
