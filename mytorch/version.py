"""`torch.version`: this package's version; there is no CUDA or HIP."""

from mytorch._version import __version__ as __version__

__mytorch__ = True
cuda = hip = rocm = xpu = None
git_version = "Unknown"
debug = False
