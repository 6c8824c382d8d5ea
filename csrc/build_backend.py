"""The build backend: scikit-build-core, and a pure Python package where no C++ compiler is found.

scikit-build-core alone would first fetch CMake and Ninja, and only then learn that there is nothing to drive with them. So the
hooks that decide what to fetch look for a compiler before; without one they set MYTORCH_NO_NATIVE, which pyproject.toml turns
into a pure wheel. A compiler that is there but fails is handled by the `failed` override in pyproject.toml.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping

from scikit_build_core import build as _build

Settings = Mapping[str, "str | list[str]"] | None


def _has_compiler() -> bool:
    if sys.platform == "win32":
        return True  # Visual Studio is not on PATH; CMake finds it
    named = shlex.split(os.environ.get("CXX", ""))
    candidates = named[:1] or ["c++", "g++", "clang++", "icpx"]
    return any(shutil.which(name) for name in candidates)


def _choose() -> None:
    if not os.environ.get("MYTORCH_NO_NATIVE") and not _has_compiler():
        print("no C++ compiler found: mytorch is installed without its native kernels", file=sys.stderr)
        os.environ["MYTORCH_NO_NATIVE"] = "1"


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    return _build.get_requires_for_build_sdist(config_settings)


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    return _build.build_sdist(sdist_directory, config_settings)


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    _choose()
    return _build.get_requires_for_build_wheel(config_settings)


def build_wheel(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    _choose()
    return _build.build_wheel(wheel_directory, config_settings, metadata_directory)


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    _choose()
    return _build.get_requires_for_build_editable(config_settings)


def build_editable(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    _choose()
    return _build.build_editable(wheel_directory, config_settings, metadata_directory)
