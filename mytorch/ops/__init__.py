"""The operations, one file per family: kernel, derivative, documentation and public function in one place."""

__mytorch__ = True
