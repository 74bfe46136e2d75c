"""The rules of ARCHITECTURE.md that a program can check: who imports whom, sizes, and what is never written."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("laban", "models", "motion", "action_localization", "viz")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
EVERYTHING = SOURCES + TESTS + sorted((ROOT / "benchmarks").rglob("*.py"))

MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 80
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FORBIDDEN_ATTRIBUTES = {"torch.hub", "sys.path", "yaml.load", "numpy.load.allow_pickle"}
JUDGE_MAY_BE_USED_BY = ("motion.judge", "motion.evaluation", "laban.cli.eval", "laban.workflows")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(node: ast.AST) -> Iterator[str]:
    """Every module that the statements below `node` import, with the imported names as possible sub-modules."""
    for child in ast.walk(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            yield str(child.module)
            yield from (f"{child.module}.{alias.name}" for alias in child.names)


def imports_at_load(module: ast.Module) -> Iterator[str]:
    """What importing the module imports: statements outside functions and outside `if TYPE_CHECKING`."""
    pending: list[ast.AST] = list(module.body)
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from imports(node)
        pending.extend(ast.iter_child_nodes(node))


def top(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def may_import(importer: str, imported: str) -> bool:
    """The dependency rule."""
    if top(imported) not in PACKAGES or top(importer) == top(imported) != "laban":
        return True
    if importer.startswith(("laban.cli", "laban.workflows")):
        return True
    if imported.startswith(("laban.cli", "laban.workflows")):
        return False
    if top(importer) == "laban":
        return top(imported) == "laban"
    return top(imported) in ("laban", "models")


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("laban.timeline", "laban.errors", True),
        ("laban.timeline", "models.motion", False),
        ("models.motion", "laban.timeline", True),
        ("models.motion", "motion.generate", False),
        ("models.motion", "laban.cli", False),
        ("motion.generate", "models.motion", True),
        ("motion.generate", "viz.renderer", False),
        ("viz.renderer", "motion.generate", False),
        ("laban.cli.generate", "viz.renderer", True),
        ("laban.workflows", "motion.generate", True),
        ("laban.files", "laban.cli", False),
        ("viz.renderer", "numpy", True),
    ],
)
def test_the_rule_says_what_the_document_says(importer, imported, allowed):
    assert may_import(importer, imported) is allowed


def test_every_import_follows_the_dependency_rule():
    wrong = [
        f"{module_name(path)} imports {name}"
        for path in SOURCES
        for name in imports(tree(path))
        if not may_import(module_name(path), name)
    ]
    assert wrong == []


def test_the_judge_is_used_by_evaluation_alone():
    wrong = [
        f"{module_name(path)} imports {name}"
        for path in SOURCES
        for name in imports(tree(path))
        if name.startswith("motion.judge") and not module_name(path).startswith(JUDGE_MAY_BE_USED_BY)
    ]
    assert wrong == []


def test_laban_loads_no_heavy_library():
    heavy = {"torch", "numpy", "scipy", "numba", "matplotlib", "av", "pytorch_lightning", "PIL", "trimesh"}
    wrong = [
        f"{module_name(path)} imports {name} at load time"
        for path in SOURCES
        if top(module_name(path)) == "laban"
        for name in imports_at_load(tree(path))
        if top(name) in heavy
    ]
    assert wrong == []


def test_importing_the_score_imports_none_of_the_engine():
    code = (
        "import sys, laban.timeline, laban.scores, laban.config, laban.progress, laban.installer, laban.cli;"
        "print(*sorted({'torch', 'numpy', 'models', 'motion', 'viz', 'action_localization'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_no_file_is_longer_than_a_reader_can_hold():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in EVERYTHING}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FILE_LINES} == {}


def test_no_function_is_longer_than_a_screen():
    long = {}
    for path in EVERYTHING:
        for node in ast.walk(tree(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    long[f"{path.relative_to(ROOT)}:{node.name}"] = lines
    assert long == {}


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def test_nothing_unpickles_downloads_code_or_edits_the_path():
    wrong = []
    for path in EVERYTHING:
        module = tree(path)
        if path not in TESTS:  # which make hostile files on purpose
            wrong += [f"{path.name} imports {name}" for name in imports(module) if top(name) in FORBIDDEN_MODULES]
        for node in ast.walk(module):
            if isinstance(node, ast.Attribute) and dotted(node) in FORBIDDEN_ATTRIBUTES:
                wrong.append(f"{path.name}:{node.lineno} uses {dotted(node)}")
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
                wrong.append(f"{path.name}:{node.value.lineno} allows pickles")
            if isinstance(node, ast.keyword) and node.arg == "weights_only" and ast.unparse(node.value) != "True":
                wrong.append(f"{path.name}:{node.value.lineno} loads torch files with code in them")
    assert wrong == []


def checks_something(test: ast.FunctionDef, helpers: set[str]) -> bool:
    """A test asserts, expects an exception, or calls a helper of the same file that does."""
    for node in ast.walk(test):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            if name.startswith(("pytest.raises", "pytest.fail", "np.testing", "torch.testing")) or name in helpers:
                return True
    return False


def test_every_test_checks_something():
    empty = []
    for path in TESTS:
        functions = [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef)]
        helpers = {f.name for f in functions if not f.name.startswith("test") and checks_something(f, set())}
        tests = [function for function in functions if function.name.startswith("test_")]
        empty += [f"{path.name}:{test.name}" for test in tests if not checks_something(test, helpers)]
    assert empty == []


def test_architecture_md_names_every_file():
    document = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    names = [str(path.relative_to(ROOT)) for path in SOURCES if path.name != "__init__.py"]
    assert [name for name in names if f"`{name}`" not in document] == []


def test_architecture_md_names_no_file_that_is_gone():
    document = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    quoted = {word for word in document.split("`") if word.endswith(".py") and "/" in word and " " not in word}
    assert sorted(name for name in quoted if "<" not in name and not (ROOT / name).is_file()) == []


def test_a_wrong_shape_raises_while_tests_run():
    import numpy as np
    from jaxtyping import TypeCheckError

    from models.motion import Motion

    with pytest.raises(TypeCheckError):
        Motion(np.zeros((1, 4, 22, 3, 3), np.float32), np.zeros((1, 4, 3), np.float32), 20.0)
