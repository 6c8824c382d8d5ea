"""What this installation is made of, as text (torch's is torch.__config__.show())."""

from __future__ import annotations

from mytorch import backends
from mytorch._version import __version__

__mytorch__ = True


def show_config() -> str:
    """Describe the installation: versions, the BLAS that NumPy calls, and which backend answers and why.

    Returns:
        A text of several lines, to print or to paste into a bug report.
    """
    import platform

    import numpy as np

    in_use, reason = backends.native_status()
    overridden = [name for name, kernel in backends.kernels.items() if kernel.override is not None]
    processor = f"{backends.instruction_set()}, " if in_use else ""
    threads = backends.get_num_threads()
    lines = [
        f"version {__version__}",
        f"Python {platform.python_version()} on {platform.system()} {platform.machine()}",
        f"NumPy {np.__version__}, BLAS {_describe_blas()}",
        f"backend: {'native' if in_use else 'reference (NumPy)'}, because {reason}",
        f"kernels run on: {processor}{threads} thread{'s' if threads > 1 else ''}",
        f"kernels: {len(backends.kernels)}, of which native: {', '.join(sorted(overridden)) or 'none'}",
    ]
    return "mytorch built with:\n" + "".join(f"  - {line}\n" for line in lines)


def _describe_blas() -> str:
    import numpy as np

    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".rstrip()


show = show_config
