"""The installer step: what it unpacks is what it was promised, or nothing."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from laban.cli import run
from laban.errors import LabanError
from laban.installer import RESOURCES, Member, Resource, install, missing, resource_file, unpack

CONTENT = {"pkg/data/one.bin": b"first file", "pkg/data/two.bin": b"second file " * 100}


@pytest.fixture
def resource() -> Resource:
    members = tuple(Member(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in CONTENT.items())
    return Resource("sample", "tests the tests", "CC0", "no-such-package-xyz", "1.0", "any", "3.11", members)


def make_wheel(folder: Path, content: dict[str, bytes]) -> Path:
    path = folder / "sample-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def test_unpacking_brings_every_file_and_a_second_install_does_nothing(resource, tmp_path):
    assert missing(resource) == resource.members
    unpack(resource, make_wheel(tmp_path, CONTENT | {"pkg/other.bin": b"x", "../../evil.bin": b"x"}))
    assert missing(resource) == ()
    assert resource_file(resource, "two.bin").read_bytes() == CONTENT["pkg/data/two.bin"]
    assert sorted(path.name for path in resource.folder.iterdir()) == ["one.bin", "two.bin"]
    assert install(resource) is False


@pytest.mark.parametrize("damaged", [b"first fil", b"First file", b"first file" + b"\0" * 10_000_000])
def test_a_file_that_is_not_the_promised_one_is_refused(resource, tmp_path, damaged):
    resource = replace(resource, version=f"1.{len(damaged)}")
    with pytest.raises(LabanError, match="has SHA-256"):
        unpack(resource, make_wheel(tmp_path, CONTENT | {"pkg/data/one.bin": damaged}))
    assert not resource.folder.exists()


def test_an_archive_without_the_file_or_no_archive_is_refused(resource, tmp_path):
    resource = replace(resource, version="2")
    with pytest.raises(LabanError, match=r"holds no pkg/data/one\.bin"):
        unpack(resource, make_wheel(tmp_path, {}))
    path = tmp_path / "broken.whl"
    path.write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(LabanError, match="is not a wheel"):
        unpack(resource, path)


def test_a_damaged_file_in_the_cache_counts_as_missing(resource, tmp_path):
    resource = replace(resource, version="3")
    unpack(resource, make_wheel(tmp_path, CONTENT))
    resource_file(resource, "one.bin").write_bytes(b"first File")
    assert [member.filename for member in missing(resource)] == ["one.bin"]
    unpack(resource, make_wheel(tmp_path, CONTENT))
    assert missing(resource) == ()


def test_what_is_not_installed_names_the_step_that_brings_it(resource):
    with pytest.raises(LabanError, match="run: laban setup"):
        resource_file(replace(resource, version="4"), "one.bin")


def test_offline_the_step_fails_with_one_line(monkeypatch, capsys):
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(name, value)
    assert run(["setup"]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("laban: pose: pip could not download mediapipe 0.10.21")
    assert message.endswith("run 'laban setup' again")


def test_check_lists_the_state_and_fetches_nothing(capsys):
    assert run(["setup", "--check", "--json"]) == 0
    states = json.loads(capsys.readouterr().out)["resources"]
    assert [state["name"] for state in states] == [resource.name for resource in RESOURCES]
    assert {state["state"] for state in states} == {"missing"}
    assert not any(resource.folder.exists() for resource in RESOURCES)
