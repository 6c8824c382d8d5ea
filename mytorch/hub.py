"""Weights and models from files and addresses: downloads into a cache, and models from a folder with a `hubconf.py`."""

from __future__ import annotations

import builtins
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from mytorch.serialization import load as _load_file

if TYPE_CHECKING:
    from types import ModuleType

__mytorch__ = True

__all__ = ["download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url", "set_dir"]

HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")
READ_DATA_CHUNK = 128 * 1024
MODULE_HUBCONF = "hubconf.py"
VAR_DEPENDENCY = "dependencies"

_hub_dir: str | None = None


# ---- files --------------------------------------------------------------------------------------------------------------------


def get_dir() -> str:
    """The folder of downloads: that of `set_dir`, else $TORCH_HOME/hub, where TORCH_HOME is $XDG_CACHE_HOME/torch or ~/.cache/torch."""
    if _hub_dir is not None:
        return _hub_dir
    cache = os.getenv("XDG_CACHE_HOME", "~/.cache")
    return os.path.join(os.path.expanduser(os.getenv("TORCH_HOME", os.path.join(cache, "torch"))), "hub")


def set_dir(d: str | os.PathLike[str]) -> None:
    """Choose the folder of downloads."""
    global _hub_dir
    _hub_dir = os.path.expanduser(d)


def download_url_to_file(url: str, dst: str, hash_prefix: str | None = None, progress: bool = True) -> None:
    """Download what is at an address (http, https, ftp, file) to a path, which exists only when all of it is there.

    Args:
        url: the address.
        dst: the path; its folder exists.
        hash_prefix: how the SHA256 of the contents begins.
        progress: show a bar on stderr.
    Raises:
        RuntimeError: if the hash is another one.
        URLError: if there is nothing at the address.
    """
    import hashlib
    from urllib.request import Request, urlopen

    dst = os.path.expanduser(dst)
    part = f"{dst}.{os.getpid()}.partial"
    digest = hashlib.sha256()
    try:
        with urlopen(Request(url, headers={"User-Agent": "mytorch.hub"})) as source, open(part, "wb") as file:
            total = source.headers.get("Content-Length")
            done = 0
            while chunk := source.read(READ_DATA_CHUNK):
                file.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                if progress:
                    _show(done, None if total is None else int(total))
        if progress:
            sys.stderr.write("\n")
        found = digest.hexdigest()
        if hash_prefix is not None and not found.startswith(hash_prefix):
            raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "{found}"): the download of {url} is damaged or another file')
        os.replace(part, dst)
    finally:
        if os.path.exists(part):
            os.remove(part)


def _show(done: int, total: int | None) -> None:
    """A bar of 30 places."""
    of = f" of {total / 2**20:.1f}" if total else ""
    share = f"|{'#' * (30 * done // total):<30}| " if total else ""
    sys.stderr.write(f"\r{share}{done / 2**20:.1f}{of} MiB")
    sys.stderr.flush()


def load_state_dict_from_url(url: str, model_dir: str | None = None, map_location: Any = None, progress: bool = True, check_hash: bool = False,
                             file_name: str | None = None, weights_only: bool = False) -> dict[str, Any]:
    """Load the weights at an address; a file that was downloaded before is used again.

    Args:
        url: the address; its last part is the file's name.
        model_dir: the folder to keep it in; `get_dir()`/checkpoints if None.
        map_location, weights_only: as for `load`, which never runs code from a file.
        progress: show a bar.
        check_hash: where the name has the form `name-<first digits of the SHA256>.ext`, check them.
        file_name: another name for the file.
    Raises:
        RuntimeError: if the hash is another one.
        URLError: if there is nothing at the address.
    """
    from urllib.parse import urlparse

    if model_dir is None:
        model_dir = os.path.join(get_dir(), "checkpoints")
    os.makedirs(model_dir, exist_ok=True)
    name = file_name or os.path.basename(urlparse(url).path)
    path = os.path.join(model_dir, name)
    if not os.path.exists(path):
        sys.stderr.write(f'Downloading: "{url}" to {path}\n')
        found = HASH_REGEX.search(name) if check_hash else None
        download_url_to_file(url, path, None if found is None else found.group(1), progress)
    state: dict[str, Any] = _load_file(path, map_location, weights_only=weights_only)
    return state


# ---- models from a folder -----------------------------------------------------------------------------------------------------


def _hubconf(function: str, folder: Any, source: str) -> ModuleType:
    """The module hubconf.py of a folder."""
    if source == "github":
        raise NotImplementedError(f"hub.{function}: source='github' is not supported: clone {folder!r} yourself, and pass the folder with "
                                  "source='local'")
    if source != "local":
        raise ValueError(f'Unknown source: "{source}". Allowed values: "github" | "local".')
    import importlib.util

    folder = os.path.expanduser(folder)
    path = os.path.join(folder, MODULE_HUBCONF)
    sys.path.insert(0, folder)
    try:
        spec = importlib.util.spec_from_file_location(MODULE_HUBCONF, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(folder)
    needed = getattr(module, VAR_DEPENDENCY, None) or ()
    missing = [name for name in needed if name not in sys.modules and importlib.util.find_spec(name) is None]
    if missing:
        raise RuntimeError(f"Missing dependencies: {', '.join(missing)}; install them first")
    return module


def _entry(module: ModuleType, name: str) -> Any:
    entry = getattr(module, name, None)
    if not isinstance(name, str):
        raise ValueError(f"Invalid input: model should be a string of function name, got {name!r}")
    if not callable(entry):
        raise RuntimeError(f"Cannot find callable {name} in hubconf")
    return entry


def load(repo_or_dir: Any, model: str, *args: Any, source: str = "github", trust_repo: Any = "check", force_reload: bool = False,
         verbose: bool = True, skip_validation: bool = False, **kwargs: Any) -> Any:
    """A model from a folder: what its hubconf.py's function `model` returns for the further arguments.

    Args:
        repo_or_dir: the folder.
        model: the name of a function in hubconf.py.
        source: "local"; nothing is fetched from GitHub.
        trust_repo, force_reload, verbose, skip_validation: they matter to GitHub only.
    Raises:
        NotImplementedError: for source="github", which is the default: clone the repository, and say source="local".
        RuntimeError: if hubconf.py has no such function, or a package that it names is missing.
        FileNotFoundError: if there is no hubconf.py.
    """
    return _entry(_hubconf("load", repo_or_dir, source), model)(*args, **kwargs)


def list(github: Any, force_reload: bool = False, skip_validation: bool = False, trust_repo: Any = "check",  # noqa: A001 - torch's name
         verbose: bool = True) -> builtins.list[str]:
    """The names of the functions in the hubconf.py of a folder; NotImplementedError for what is no folder."""
    module = _hubconf("list", github, "local" if os.path.isdir(github) else "github")
    return [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]


def help(github: Any, model: str, force_reload: bool = False, skip_validation: bool = False, trust_repo: Any = "check") -> Any:  # noqa: A001
    """The docstring of a function in the hubconf.py of a folder; NotImplementedError for what is no folder."""
    return _entry(_hubconf("help", github, "local" if os.path.isdir(github) else "github"), model).__doc__
