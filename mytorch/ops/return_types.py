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
