"""torch's path of the functions that make batches, and of the rules by type that they follow."""

from __future__ import annotations

from mytorch.utils.data.collate import _collate_array_scalars as collate_numpy_scalar_fn
from mytorch.utils.data.collate import _collate_arrays as collate_numpy_array_fn
from mytorch.utils.data.collate import _collate_floats as collate_float_fn
from mytorch.utils.data.collate import _collate_integers as collate_int_fn
from mytorch.utils.data.collate import _collate_tensors as collate_tensor_fn
from mytorch.utils.data.collate import _keep as collate_str_fn
from mytorch.utils.data.collate import collate, default_collate, default_collate_fn_map, default_convert

__mytorch__ = True

default_collate_err_msg_format = "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"

__all__ = ["collate", "collate_float_fn", "collate_int_fn", "collate_numpy_array_fn", "collate_numpy_scalar_fn", "collate_str_fn",
           "collate_tensor_fn", "default_collate", "default_collate_err_msg_format", "default_collate_fn_map", "default_convert"]
