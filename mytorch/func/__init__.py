"""Functions that take a function and return another: torch.func. They nest: `vmap(grad(f))` gives the gradient of each example."""

from __future__ import annotations

from mytorch.func.jacobians import hessian, jacfwd, jacrev
from mytorch.func.modules import debug_unwrap, functional_call, functionalize, replace_all_batch_norm_modules_, stack_module_state
from mytorch.func.transforms import grad, grad_and_value, jvp, linearize, vjp
from mytorch.func.vmap import vmap

__mytorch__ = True

__all__ = ["debug_unwrap", "functional_call", "functionalize", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "linearize",
           "replace_all_batch_norm_modules_", "stack_module_state", "vjp", "vmap"]
