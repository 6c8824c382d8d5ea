"""`python -m mytorch.utils.collect_env`: what to paste into a bug report."""

from __future__ import annotations

from mytorch.config import show_config

__mytorch__ = True


def get_pretty_env_info() -> str:
    """Versions, the BLAS, and which backend answers: the text of `show_config()`."""
    return show_config()


def main() -> None:
    """Print it."""
    print(get_pretty_env_info())


if __name__ == "__main__":
    main()
