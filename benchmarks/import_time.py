"""What `import mytorch` costs over `import numpy`: fresh processes in turn, the median of the differences.

    python benchmarks/import_time.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

CODE = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def seconds(module: str) -> float:
    """The time of one import in a fresh process."""
    # with byte code on disk, as every installed package has it
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([sys.executable, "-c", CODE.format(module)], capture_output=True, text=True, check=True, env=env)
    return float(done.stdout)


def main() -> None:
    """Print the median and the spread of 15 differences."""
    seconds("mytorch")  # warms the disk cache and the byte code
    differences = sorted(seconds("mytorch") - seconds("numpy") for _ in range(15))
    print(f"import mytorch costs {statistics.median(differences) * 1e3:.0f} ms over import numpy "
          f"({differences[1] * 1e3:.0f} .. {differences[-2] * 1e3:.0f} ms)")


if __name__ == "__main__":
    main()
