"""The command line's frame: a table of lazily imported commands, one line for every foreseen failure."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import typer

import laban.cli.setup
from laban import __version__
from laban.cli import COMMANDS, available_commands, run
from laban.cli.options import Device, emit
from laban.errors import LabanError


def fresh_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)


def test_help_lists_every_command_and_no_argument_means_help(capsys):
    assert run(["--help"]) == 0
    listed = capsys.readouterr().out
    assert [name for name in available_commands() if f" {name} " not in listed] == []
    assert run([]) == 0
    assert capsys.readouterr().out == listed


def test_every_command_of_the_table_has_its_module_and_its_own_help(capsys):
    assert available_commands() == COMMANDS
    for name in COMMANDS:
        assert run([name, "--help"]) == 0, name
        assert f"laban {name}" in capsys.readouterr().out


def test_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"laban {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["setup", "--chek"], ["generate", "--help"], ["nope"]]
)
def test_help_and_wrong_options_are_answered_without_the_heavy_libraries(arguments):
    done = fresh_python(
        f"""
        import sys
        from laban.cli import run
        run({arguments!r})
        heavy = {{"torch", "numba", "scipy", "matplotlib", "av", "lightning", "pytorch_lightning"}}
        sys.exit(", ".join(sorted(heavy & set(sys.modules))) or 0)
        """
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["setup", "--chek"], "laban: No such option: --chek; did you mean --check"),
        (["setpu"], "laban: No such command 'setpu'. Did you mean 'setup'?"),
        (["--versoin"], "laban: No such option: --versoin; did you mean --version?"),
        (["setup", "twice"], "laban: Got unexpected extra argument"),
    ],
)
def test_a_wrong_call_gets_one_line_with_the_nearest_right_one(capsys, arguments, message):
    assert run(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(message)
    assert printed.err.count("\n") == 1


@pytest.fixture
def failing(monkeypatch):
    """Make `laban setup` raise a given exception."""

    def install(error: BaseException) -> None:
        def command() -> None:
            raise error

        monkeypatch.setattr(laban.cli.setup, "command", command)

    return install


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (LabanError("walk.bvh:3: found X;\n accepted Y"), 2, "laban: walk.bvh:3: found X; accepted Y\n"),
        (typer.BadParameter("no"), 2, "laban: Invalid value: no\n"),
        (FileNotFoundError(2, "No such file or directory", "a.npz"), 2, "laban: a.npz: No such file or directory\n"),
        (OSError(28, "No space left on device"), 2, "laban: No space left on device\n"),
        (OSError(), 2, "laban: OSError\n"),
        (KeyboardInterrupt(), 130, "laban: interrupted; nothing half-written\n"),
        (typer.Exit(3), 3, ""),
    ],
)
def test_every_foreseen_failure_is_one_line(failing, capsys, error, status, message):
    failing(error)
    assert run(["setup"]) == status
    assert capsys.readouterr().err == message


@pytest.mark.parametrize("error", [ZeroDivisionError(), RuntimeError("x")])
def test_a_mistake_of_ours_is_not_hidden(failing, error):
    failing(error)
    with pytest.raises(type(error)):
        run(["setup"])


def test_the_console_script_runs_in_a_folder_with_packages_of_the_same_names(tmp_path):
    for name in ("models", "motion", "viz"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong package')")
    script = Path(sys.executable).with_name("laban")
    done = subprocess.run([script, "setup", "--check"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_results_are_json_or_lines(capsys):
    emit({"path": Path("a.npz"), "seconds": 1.5}, True, ["not this"])
    assert json.loads(capsys.readouterr().out) == {"path": "a.npz", "seconds": 1.5}
    emit({}, False, ["one", "two"])
    assert capsys.readouterr().out == "one\ntwo\n"


def test_the_device_is_one_that_torch_knows():
    import torch

    from models.devices import pick_device

    assert pick_device(Device.cpu.value) == torch.device("cpu")
    assert torch.empty(0, device=pick_device(Device.auto.value)).numel() == 0
    with pytest.raises(LabanError, match="accepted: auto, cpu, cuda"):
        pick_device("tpu")


def test_the_table_names_no_command_twice_and_explains_each():
    assert all(summary.endswith(".") for summary in laban.cli.COMMANDS.values())
