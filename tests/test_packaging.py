"""What a built wheel holds, and that the pins, the extras and the code agree."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("laban", "models", "motion", "action_localization", "viz")
IMPORT_TO_DISTRIBUTION = {
    "PIL": "pillow",
    "open_clip": "open-clip-torch",
    "OpenGL": "pyrender",
    "pytorch_lightning": "pytorch-lightning",
}
ONLY_TO_BAKE = {"anny": "models/body/bake", "roma": "models/body/bake", "warp": "models/body/bake"}
"""What a maintainer's script uses whose result ships with the package, by the path of that script."""


def plain(requirement: str) -> str:
    return re.split(r"[<>=!~\[; ]", requirement)[0].lower().replace("_", "-")


def declared() -> set[str]:
    extras = PROJECT["optional-dependencies"]
    return {plain(r) for r in PROJECT["dependencies"]} | {plain(r) for e in extras if e != "dev" for r in extras[e]}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> list[str]:
    """The names in a wheel built from a copy of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    code = (
        "import os, sys; from setuptools import build_meta; os.chdir(sys.argv[1]);"
        "print(build_meta.build_wheel(sys.argv[2]))"
    )
    copy = folder / "source tree"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", *PACKAGES, "checkpoints"):
        subprocess.run(["cp", "-R", str(ROOT / name), str(copy)], check=True)
    (copy / "motion_scratch").mkdir()
    (copy / "motion_scratch" / "__init__.py").write_text("")
    subprocess.run([sys.executable, "-c", code, copy, folder], check=True, capture_output=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        return archive.namelist()


def test_every_module_and_only_ours_is_in_the_wheel(wheel):
    modules = {str(path.relative_to(ROOT)) for p in (*PACKAGES, "checkpoints") for path in (ROOT / p).rglob("*.py")}
    assert {name for name in wheel if name.endswith(".py")} == modules


def test_every_weight_and_body_file_is_in_the_wheel(wheel):
    suffixes = {".npz", ".safetensors", ".json", ".txt"}
    data = {
        str(path.relative_to(ROOT))
        for folder in (*PACKAGES, "checkpoints")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in suffixes
    }
    assert data - set(wheel) == set()


def test_the_licence_and_the_console_script_are_in_the_wheel(wheel):
    assert any(name.endswith("licenses/LICENSE") for name in wheel)
    assert any(name.endswith("entry_points.txt") for name in wheel)


def test_what_the_code_imports_is_declared():
    names = declared()
    undeclared = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    roots = {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    roots = {str(node.module).split(".")[0]}
                else:
                    continue
                relative = str(path.relative_to(ROOT))
                for root in roots - set(sys.stdlib_module_names) - set(PACKAGES) - {"checkpoints"}:
                    if relative.startswith(ONLY_TO_BAKE.get(root, "-")):
                        continue
                    if IMPORT_TO_DISTRIBUTION.get(root, root).lower().replace("_", "-") not in names:
                        undeclared.add(f"{relative}: {root}")
    assert undeclared == set()


def test_every_requirement_has_its_tested_pin():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pinned = {plain(name) for name in pins}
    wanted = declared() | {plain(r) for r in PROJECT["optional-dependencies"]["dev"]}
    assert wanted - pinned - {"laban"} == set()
    assert [name for name, version in pins.items() if "+" in version] == []


def test_pins_lie_within_the_declared_ranges():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {plain(line.split("==")[0]): line.split("==")[1] for line in lines if "==" in line}
    requirements = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]

    def version(text: str) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", text)]

    too_old = [r for r in requirements if version(pins[plain(r)]) < version(r.split(">=")[1])]
    assert too_old == []


@pytest.mark.parametrize("script", ["demo", "check", ".ci/run", "tools/environment.sh"])
def test_the_scripts_are_posix_shell(script):
    done = subprocess.run(["sh", "-n", str(ROOT / script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = (ROOT / script).read_text()
    assert [word for word in ("[[", "function ", "source ", "readlink -f", "sed -i", "echo -e") if word in text] == []


def run_demo(path: str, copy: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": path, "HOME": ""}
    return subprocess.run(["/bin/sh", "demo"], cwd=copy, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def copy_with_scripts(tmp_path) -> Path:
    copy = tmp_path / "a path with spaces"
    (copy / "tools").mkdir(parents=True)
    for name in ("demo", "tools/environment.sh"):
        (copy / name).write_bytes((ROOT / name).read_bytes())
    return copy


def test_without_python_the_demo_says_so(copy_with_scripts):
    folder = copy_with_scripts / "bin"
    folder.mkdir()
    (folder / "dirname").symlink_to("/usr/bin/dirname")
    done = run_demo(str(folder), copy_with_scripts)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].startswith("No Python 3.11 or newer found.")


def test_an_old_python_is_passed_over(copy_with_scripts):
    folder = copy_with_scripts / "bin"
    folder.mkdir()
    (folder / "dirname").symlink_to("/usr/bin/dirname")
    old = folder / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    assert "No Python 3.11 or newer found." in run_demo(str(folder), copy_with_scripts).stderr
