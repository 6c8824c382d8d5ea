"""The named tuples that operations with several results return, as `torch.return_types` has them.

`x.max(dim=1)` gives a tuple `(values, indices)` whose parts also have names: `x.max(dim=1).values`.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any

__mytorch__ = True


def return_type(name: str, fields: str) -> Any:
    """A tuple class with named fields, made from one sequence of the parts: `return_types.max((values, indices))`."""
    names = tuple(fields.split())

    def make(cls: Any, parts: Any) -> Any:
        found = tuple(parts)
        if len(found) != len(names):
            raise TypeError(f"torch.return_types.{name}() takes a {len(names)}-sequence ({len(found)}-sequence given)")
        return tuple.__new__(cls, found)

    def show(self: Any) -> str:
        body = ",\n".join(f"{field}={part!r}" for field, part in zip(names, self, strict=True))
        return f"torch.return_types.{name}(\n{body})"

    def reduce(self: Any) -> Any:
        return type(self), (tuple(self),)

    attributes: dict[str, Any] = {field: property(itemgetter(i), doc=f"Part {i} of the result.") for i, field in enumerate(names)}
    attributes |= {"__slots__": (), "__new__": make, "__repr__": show, "__reduce__": reduce, "__module__": __name__,
                   "__doc__": f"The results of `{name}`: ({', '.join(names)}).",
                   "_fields": names, "n_fields": len(names), "n_sequence_fields": len(names)}
    return type(name, (tuple,), attributes)


max = return_type("max", "values indices")  # noqa: A001
min = return_type("min", "values indices")  # noqa: A001
median = return_type("median", "values indices")
nanmedian = return_type("nanmedian", "values indices")
mode = return_type("mode", "values indices")
cummax = return_type("cummax", "values indices")
cummin = return_type("cummin", "values indices")
aminmax = return_type("aminmax", "min max")
sort = return_type("sort", "values indices")
topk = return_type("topk", "values indices")
kthvalue = return_type("kthvalue", "values indices")
histogram = return_type("histogram", "hist bin_edges")
histogramdd = return_type("histogramdd", "hist bin_edges")

# Of matrices: made when first asked for, as their operations are.
_LATER = {
    "geqrf": "a tau", "linalg_cholesky_ex": "L info", "linalg_eig": "eigenvalues eigenvectors", "linalg_eigh": "eigenvalues eigenvectors",
    "linalg_inv_ex": "inverse info", "linalg_ldl_factor": "LD pivots", "linalg_ldl_factor_ex": "LD pivots info",
    "linalg_lstsq": "solution residuals rank singular_values", "linalg_lu": "P L U", "linalg_lu_factor": "LU pivots",
    "linalg_lu_factor_ex": "LU pivots info", "linalg_qr": "Q R", "linalg_slogdet": "sign logabsdet", "linalg_solve_ex": "result info",
    "linalg_svd": "U S Vh", "lu_unpack": "P L U", "_lu_with_info": "LU pivots info", "qr": "Q R", "slogdet": "sign logabsdet", "svd": "U S V",
    "triangular_solve": "solution cloned_coefficient", "frexp": "mantissa exponent",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = return_type(name, _LATER[name])
    return found
