"""Shims: packages that do not fit together out of the box import and work."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from laban.errors import LabanError
from models.compat import import_lightning, import_pyrender, import_torchvision

NEEDS_TORCHVISION = pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed")
NEEDS_PYRENDER = pytest.mark.skipif(find_spec("pyrender") is None, reason="pyrender is not installed")


def fresh(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter, where nothing has been imported yet."""
    import os

    return subprocess.run([sys.executable, "-c", code], cwd=folder, env={**os.environ, **environment},
                          capture_output=True, text=True, check=False)  # fmt: skip


@NEEDS_TORCHVISION
def test_torchvision_transforms_work_beside_this_torch() -> None:
    import torch

    torchvision = import_torchvision()
    image = torch.arange(48.0).reshape(3, 4, 4)
    assert torchvision.transforms.functional.center_crop(image, [2, 2]).shape == (3, 2, 2)
    assert import_torchvision() is torchvision


@NEEDS_TORCHVISION
@pytest.mark.skipif(find_spec("pytorchvideo") is None, reason="pytorchvideo is not installed")
@pytest.mark.slow
def test_pytorchvideo_imports_whole(repository: Path) -> None:
    code = "from models.compat import import_torchvision; import_torchvision()\n"
    code += "from pytorchvideo.transforms import Normalize; print(Normalize)"
    done = fresh(code, repository)
    assert done.returncode == 0, done.stderr
    assert "Normalize" in done.stdout


def test_lightning_imports() -> None:
    assert import_lightning().__name__ == "pytorch_lightning"


@NEEDS_PYRENDER
def test_pyrender_imports_on_numpy_2() -> None:
    try:
        pyrender = import_pyrender()
    except LabanError as error:
        pytest.skip(str(error))
    assert hasattr(pyrender, "OffscreenRenderer")
    assert vars(np)["infty"] == np.inf


@NEEDS_PYRENDER
def test_the_gl_platform_of_the_environment_is_respected(repository: Path) -> None:
    code = "import os; from models.compat import import_pyrender as i; i(); print(os.environ['PYOPENGL_PLATFORM'])"
    done = fresh(code, repository, PYOPENGL_PLATFORM="osmesa")
    if done.returncode:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.stdout.strip() == "osmesa"


def test_the_package_draws_without_pyrender(repository: Path) -> None:
    code = (
        "import sys; sys.modules['pyrender'] = None\n"
        "from viz.renderer import make_renderer\n"
        "import viz.gl\n"
        "from laban.errors import LabanError\n"
        "print(make_renderer('numba').name)\n"
        "try: make_renderer('pyrender')\n"
        "except LabanError as error: print(error)\n"
    )
    done = fresh(code, repository)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "numba"
    assert second.startswith("pyrender: ")
