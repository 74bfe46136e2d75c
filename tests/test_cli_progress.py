"""The progress bar: on a terminal's stderr and nowhere else."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

from laban.progress import progress

CODE = """
from laban.progress import progress
with progress("building", 3, quiet={quiet}) as advance:
    for _ in range(3):
        advance(1)
print("result")
"""


def on_a_terminal(quiet: bool) -> tuple[str, str]:
    """What a program prints on stdout (a pipe) and on stderr (a terminal)."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    code = CODE.format(quiet=quiet)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    printed, _ = process.communicate()
    drawn = b""
    try:
        while piece := os.read(ours, 65536):
            drawn += piece
    except OSError:
        pass  # Linux reports the closed terminal as an input/output error
    finally:
        os.close(ours)
    return printed.decode(), drawn.decode()


def test_a_person_sees_the_bar_and_a_pipe_gets_the_result_alone():
    printed, drawn = on_a_terminal(quiet=False)
    assert printed == "result\n"
    assert "building" in drawn
    assert "3/3" in drawn


def test_quiet_draws_nothing():
    assert on_a_terminal(quiet=True) == ("result\n", "")


def test_without_a_terminal_nothing_is_drawn(capfd):
    with progress("building", None) as advance:
        advance(5)
    assert capfd.readouterr() == ("", "")
