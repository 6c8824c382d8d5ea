"""Utilities around parameters and gradients, under torch.nn.utils' names."""

from __future__ import annotations

from mytorch.nn.utils import rnn as rnn
from mytorch.nn.utils.clip_grad import clip_grad_norm, clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm
from mytorch.nn.utils.convert_parameters import parameters_to_vector, vector_to_parameters

__mytorch__ = True
