"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

# Checks every annotation, array shapes included, while the tests run. Whole numbers pass for floats, as PEP 484 has it;
# jaxtyping's pytest option cannot express that, so its hook is installed here, before anything of ours is imported.
install_import_hook(
    ["laban", "motion", "models", "viz", "action_localization"],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

# A busy machine is no failure: no deadlines, and few enough examples that the whole suite stays short.
settings.register_profile("laban", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("laban")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _one_thread_and_no_display() -> None:
    """Small tensors are fastest on one thread, and parallel workers must not fight for the cores."""
    import torch

    torch.set_num_threads(1)
    os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes the user's cache, or takes the user's licensed body."""
    monkeypatch.setenv("LABAN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("LABAN_BODY", raising=False)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The real data sets beside the repository; skips where they are absent."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    return folder


@pytest.fixture(scope="session")
def mocap_folder(data_folder: Path) -> Path:
    """The real motion capture beside the repository; skips where it is absent."""
    folder = data_folder / "mocap"
    if not (folder / "index.json").is_file():
        pytest.skip(f"no motion capture at {folder}")
    return folder
