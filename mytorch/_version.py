"""The version, in one place: pyproject.toml, show_config() and mytorch.__version__ read it here."""

__mytorch__ = True
__version__ = "0.1.0"
FOLLOWS = "2.13.0"  # the release of PyTorch whose behaviour the tests compare with
