"""torch's former path of `hub.load_state_dict_from_url`."""

from __future__ import annotations

from mytorch.hub import load_state_dict_from_url

__mytorch__ = True

load_url = load_state_dict_from_url

__all__ = ["load_url"]
