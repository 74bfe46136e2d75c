"""A program for tests to interrupt: performs the walker like `laban stream` does, by arguments: SECONDS FILE …"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from laban.cli.generate import Files
from laban.cli.performing import Asked, perform
from tests.streaming_walk import Walker


def main() -> None:
    outputs = [Path(name) for name in sys.argv[2:]]
    asked = Asked(outputs, frames=round(float(sys.argv[1]) * 30), prompt=not sys.stdin.isatty())
    performed = perform(Walker("walk"), asked, Files((128, 128), 30.0, None, False))
    print(json.dumps({"frames": performed.frames, "files": performed.files, "said": performed.said}))


if __name__ == "__main__":
    main()
