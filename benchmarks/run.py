"""All benchmarks, one after another: `make bench`. Those against torch need torch in the same environment."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
AGAINST_TORCH = ("small_ops.py", "mlp_mnist.py", "rnn.py")


def main() -> None:
    """Run each script in a process of its own."""
    scripts = ["import_time.py"]
    if importlib.util.find_spec("torch") is None:
        print("torch is not installed here: comparisons with it are left out (pip install torch)")
    else:
        scripts += AGAINST_TORCH
    for script in scripts:
        print(f"\n== {script}", flush=True)
        subprocess.run([sys.executable, str(HERE / script)], check=True)


if __name__ == "__main__":
    main()
