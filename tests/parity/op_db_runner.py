"""Runs torch's own table of operations, `op_db`, against mytorch: values, gradients, second gradients, variants, errors.

From the root of the repository, with torch, expecttest and hypothesis installed:

    PYTHONPATH=. python tests/parity/op_db_runner.py --ops mul,add --markdown

prints one line per operation: passed / tried for each kind of check. Without --ops it runs every operation that mytorch has;
--samples 6 limits the sample inputs per operation and dtype, --failures prints what went wrong.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections import defaultdict
from types import FunctionType

import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db

import mytorch
from mytorch.dtypes import BFLOAT16_NP
from mytorch.tensor import _wrap

KINDS = ("forward", "grad", "gradgrad", "method", "inplace", "errors")
DTYPES = (torch.float64, torch.float32, torch.int64, torch.bool)
TOLERANCES = {torch.float32: (1e-4, 1e-5), torch.complex64: (1e-4, 1e-5), torch.float64: (1e-7, 1e-7), torch.complex128: (1e-7, 1e-7),
              torch.float16: (4e-3, 1e-3), torch.bfloat16: (2e-2, 1e-2)}
UNINITIALISED = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "empty_permuted", "resize_", "resize_as_"}
ANY_PLACE = {"sort", "argsort", "topk", "mode", "kthvalue", "median", "nanmedian"}  # among equal entries torch takes any
MOST_SAMPLES = 400  # of one operation and dtype that are generated at all


def full_name(op):
    """The name of a row: 'norm/fro' for the variant 'fro' of norm."""
    return f"{op.name}/{op.variant_test_name}" if op.variant_test_name else op.name


def attribute(root, path):
    """The attribute that a dotted path names, or None."""
    for part in path.split("."):
        root = getattr(root, part, None)
        if root is None:
            return None
    return root


def counterpart(op):
    """mytorch's function for a row of op_db: of the same path, else the method of that name; None if it has neither."""
    found = attribute(mytorch, op.name)
    if not callable(found) or isinstance(found, type):
        found = None if "." in op.name else getattr(mytorch.Tensor, op.name, None)
    if found is None and op.inplace_variant is not None:  # 'uniform' stands for Tensor.uniform_
        found = getattr(mytorch.Tensor, f"{op.name}_", None)
    if found is None:
        return None
    if not isinstance(op.op, FunctionType) or op.op.__name__ != "<lambda>":
        return found
    # The row has a lambda that puts the arguments in order: the same code, with mytorch where it says torch.
    names = {**op.op.__globals__, "torch": mytorch, "wrapper_set_seed": seeded}
    return FunctionType(op.op.__code__, names, "row", op.op.__defaults__, op.op.__closure__)


def seeded(function, *args, **kwargs):
    """What `wrapper_set_seed` of op_db does for torch."""
    mytorch.manual_seed(42)
    return function(*args, **kwargs)


# ---- from torch to mytorch and back -------------------------------------------------------------------------------------------


def array_of(tensor, memories):
    """A NumPy array with a tensor's values and strides. Tensors on one memory get arrays on one memory."""
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.ndim > 64:  # NumPy's limit is 64
        raise Unconvertible(f"a tensor of layout {tensor.layout} on {tensor.device}, {tensor.ndim}-d")
    bfloat16 = tensor.dtype is torch.bfloat16
    storage = tensor.untyped_storage()
    key = (storage.data_ptr(), tensor.dtype) if storage.nbytes() else id(tensor)
    if key not in memories:
        flat = torch.empty(0, dtype=tensor.dtype).set_(storage, 0, (storage.nbytes() // tensor.itemsize,), (1,))
        memories[key] = (tensor, (flat.view(torch.int16) if bfloat16 else flat).numpy().copy())  # the tensor keeps the address taken
    memory = memories[key][1][tensor.storage_offset():]
    array = np.lib.stride_tricks.as_strided(memory, tensor.shape, [s * tensor.itemsize for s in tensor.stride()])
    return array.view(BFLOAT16_NP) if bfloat16 else array


def to_mytorch(value, memories=None):
    """The same structure with mytorch's tensors, dtypes and devices for torch's; aliases stay aliases."""
    memories = {} if memories is None else memories
    if isinstance(value, torch.Tensor):
        return _wrap(array_of(value, memories)).requires_grad_(value.requires_grad)
    if isinstance(value, torch.dtype):
        return attribute(mytorch, str(value).removeprefix("torch."))
    if isinstance(value, torch.device):
        return mytorch.device(str(value))
    if isinstance(value, (torch.memory_format, torch.layout)):
        return attribute(mytorch, str(value).removeprefix("torch."))
    if isinstance(value, torch.Generator):
        return mytorch.Generator().manual_seed(value.initial_seed())
    if isinstance(value, slice):
        return slice(*[to_mytorch(part, memories) for part in (value.start, value.stop, value.step)])
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, (tuple, list)):
        return type(value)(to_mytorch(item, memories) for item in value)
    if isinstance(value, dict):
        return {key: to_mytorch(item, memories) for key, item in value.items()}
    if type(value).__module__.startswith("torch."):
        raise Unconvertible(f"an argument of type {type(value).__name__}")
    return value


def to_torch(value):
    """The structure's leaves as a list, mytorch's tensors as torch's."""
    if isinstance(value, mytorch.Tensor):
        array = np.array(value._array)
        return [torch.from_numpy(array.view(np.int16)).view(torch.bfloat16) if array.dtype == BFLOAT16_NP else torch.from_numpy(array)]
    return [leaf for part in value for leaf in to_torch(part)] if is_nest(value) else [value]


def is_nest(value):
    """Is it a sequence of results? A shape is a value."""
    return isinstance(value, (tuple, list)) and not isinstance(value, (torch.Size, mytorch.Size))


def flat(value):
    """The leaves of nested tuples, lists and dicts, in order."""
    if isinstance(value, dict):
        value = tuple(value.values())
    return [leaf for part in value for leaf in flat(part)] if is_nest(value) else [value]


def fresh(value):
    """The same structure with clones of its tensors, strides kept, which need a gradient where the originals do."""
    if isinstance(value, torch.Tensor):
        if value.layout is not torch.strided:
            return value
        base = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype) if value.numel() else torch.empty_like(value)
        return base.copy_(value.detach().clone()).requires_grad_(value.requires_grad) if 0 not in value.stride() or not value.numel() \
            else value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, (tuple, list)) and not isinstance(value, torch.Size):
        return type(value)(fresh(item) for item in value)
    if isinstance(value, dict):
        return {key: fresh(item) for key, item in value.items()}
    return value


class Unconvertible(Exception):
    """An argument has no counterpart in mytorch."""


class Mismatch(AssertionError):
    """mytorch differs from torch."""


def check_equal(found, expected, what, values=True, places=True):
    """Mismatch unless both structures hold the same values (of integers only with `places`), dtypes and shapes."""
    found, expected = to_torch(found), flat(expected)
    if len(found) != len(expected):
        raise Mismatch(f"{what}: {len(found)} results, torch has {len(expected)}")
    for a, b in zip(found, expected, strict=True):
        if isinstance(b, torch.Tensor):
            check_tensor(a, b.detach().resolve_conj().resolve_neg(), what, values and (places or b.dtype is not torch.int64))
        elif isinstance(b, (torch.dtype, torch.Size)):
            if str(a).replace("mytorch", "torch") != str(b):
                raise Mismatch(f"{what}: {a}, torch has {b}")
        elif values and not (a == b or (a != a and b != b) or np.allclose(a, b, equal_nan=True)):
            raise Mismatch(f"{what}: {a!r}, torch has {b!r}")


def check_tensor(a, b, what, values):
    if not isinstance(a, torch.Tensor):
        raise Mismatch(f"{what}: {type(a).__name__}, torch has a tensor of {tuple(b.shape)}")
    if a.dtype is not b.dtype or a.shape != b.shape:
        raise Mismatch(f"{what}: {a.dtype} {tuple(a.shape)}, torch has {b.dtype} {tuple(b.shape)}")
    if not values or not a.numel():
        return
    rtol, atol = TOLERANCES.get(b.dtype, (0, 0))
    close = torch.isclose(a, b, rtol=rtol, atol=atol, equal_nan=True) if b.dtype is not torch.bool else a == b
    if not bool(close.all()):
        place = tuple(int(i) for i in (~close).nonzero()[0])
        raise Mismatch(f"{what}: {int((~close).sum())} of {a.numel()} differ, first at {place}: {a[place].item()!r}, torch has {b[place].item()!r}")


# ---- one sample ---------------------------------------------------------------------------------------------------------------


class Report:
    """What passed and what failed of one operation, by kind."""

    def __init__(self, name):
        self.name = name
        self.passed = defaultdict(int)
        self.tried = defaultdict(int)
        self.failures = []  # (kind, text)

    def check(self, kind, describe, run):
        """Count one check; its failure is noted with a description of the arguments."""
        self.tried[kind] += 1
        try:
            run()
        except Unconvertible:
            self.tried[kind] -= 1
        except Exception as error:  # whatever mytorch raises is a failure to report
            text = str(error).split("\n")[0]
            self.failures.append((kind, f"{describe()}: {text if isinstance(error, Mismatch) else f'{type(error).__name__}: {text}'}"))
        else:
            self.passed[kind] += 1

    def failing(self):
        """The kinds with a failure."""
        return {kind for kind, _ in self.failures}


def describe(args, kwargs, dtype=None):
    """A call's arguments in short."""
    def brief(value):
        if isinstance(value, torch.Tensor):
            kind = str(value.dtype).removeprefix("torch.")
            return f"{kind}{list(value.shape)}"
        if isinstance(value, (tuple, list)) and not isinstance(value, torch.Size):
            return "(" + ", ".join(brief(v) for v in value) + ")"
        return repr(value)
    return ", ".join([brief(a) for a in args] + [f"{k}={brief(v)}" for k, v in kwargs.items()])


def quiet(function, *args, **kwargs):
    """A call with warnings off and both generators at one seed."""
    torch.manual_seed(42)
    mytorch.manual_seed(42)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def needing_grad(structure):
    return [x for x in flat(structure) if isinstance(x, (torch.Tensor, mytorch.Tensor)) and x.requires_grad]


def floats(structure):
    return [x for x in flat(structure) if isinstance(x, (torch.Tensor, mytorch.Tensor)) and (x.is_floating_point() or x.is_complex())]


def wanted(op, args):
    """Are the values of an operation determined, and are the places among equal entries?"""
    ties = op.name in ANY_PLACE and isinstance(args[0], torch.Tensor) and args[0].unique().numel() < args[0].numel()
    return op.name not in UNINITIALISED, not ties


def run_sample(report, op, function, args, kwargs, process, order):
    """Forward and, up to `order`, gradients of one call."""
    try:
        args, kwargs = fresh(args), fresh(kwargs)
        expected = quiet(op.op, *args, **kwargs)
    except Exception:  # torch refuses its own sample: nothing to compare with
        return
    values, places = wanted(op, args)
    box = {}

    def forward():
        box["args"], box["kwargs"] = to_mytorch((args, kwargs))
        box["y"] = quiet(function, *box["args"], **box["kwargs"])
        check_equal(box["y"], expected, "value", values, places)

    report.check("forward", lambda: describe(args, kwargs), forward)
    leaves = needing_grad((args, kwargs))
    outs = needing_grad(process(expected))
    if order == 0 or not leaves or not outs or "y" not in box:
        return
    weights = [torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(1)) for y in outs]
    try:
        first = torch.autograd.grad(outs, leaves, weights, allow_unused=True, create_graph=order > 1)
    except Exception:  # no derivative in torch either
        return
    mine = needing_grad((box["args"], box["kwargs"]))

    def gradient():
        box["outs"] = needing_grad(process(box["y"]))
        if len(box["outs"]) != len(outs):
            raise Mismatch(f"{len(box['outs'])} outputs require a gradient, torch has {len(outs)}")
        box["first"] = mytorch.autograd.grad(box["outs"], mine, to_mytorch(weights), allow_unused=True, create_graph=order > 1)
        check_gradients(box["first"], first, leaves, "gradient")

    report.check("grad", lambda: describe(args, kwargs), gradient)
    roots = [(i, g) for i, g in enumerate(first) if g is not None and g.requires_grad]
    if order < 2 or not roots or "first" not in box:
        return
    weights2 = [torch.randn(g.shape, dtype=g.dtype, generator=torch.Generator().manual_seed(2)) for _, g in roots]
    try:
        second = torch.autograd.grad([g for _, g in roots], leaves, weights2, allow_unused=True)
    except Exception:
        return

    def second_gradient():
        pairs = [(box["first"][i], w) for (i, _), w in zip(roots, to_mytorch(weights2), strict=True)
                 if box["first"][i] is not None and box["first"][i].requires_grad]
        found = [None] * len(mine)
        if pairs:
            found = mytorch.autograd.grad([g for g, _ in pairs], mine, [w for _, w in pairs], allow_unused=True)
        check_gradients(found, second, leaves, "second gradient")

    report.check("gradgrad", lambda: describe(args, kwargs), second_gradient)


def check_gradients(found, expected, leaves, what):
    """Equal, where no gradient and a gradient of zeros are the same."""
    for i, (a, b, x) in enumerate(zip(found, expected, leaves, strict=True)):
        if a is None and b is None:
            continue
        b = torch.zeros_like(x) if b is None else b
        check_equal(mytorch.zeros(tuple(x.shape), dtype=to_mytorch(x.dtype)) if a is None else a, b, f"{what} {i}")


def run_method(report, op, args, kwargs):
    """The Tensor method of the same name gives what torch's gives."""
    name = getattr(op.method_variant, "__name__", None)
    if name is None or name == "<lambda>" or not args or not isinstance(args[0], torch.Tensor):
        return
    args, kwargs = fresh(args), fresh(kwargs)
    try:
        expected = quiet(getattr(torch.Tensor, name), *fresh(args), **fresh(kwargs))
    except Exception:
        return

    def method():
        a, k = to_mytorch((args, kwargs))
        check_equal(quiet(getattr(mytorch.Tensor, name), *a, **k), expected, name, *wanted(op, args))

    report.check("method", lambda: describe(args, kwargs), method)


def run_inplace(report, op, args, kwargs, differentiate):
    """The in-place variant writes what torch's writes, has its gradient, and refuses what it refuses."""
    name = getattr(op.inplace_variant, "__name__", None)
    if name is None or name == "<lambda>" or not args or not isinstance(args[0], torch.Tensor):
        return
    args, kwargs = fresh(args), fresh(kwargs)
    leaves = needing_grad((args, kwargs)) if differentiate else []
    refusal = None
    try:
        target = args[0].clone()
        expected = quiet(getattr(target, name), *args[1:], **kwargs)
        if leaves and expected.requires_grad:
            expected.backward(torch.ones_like(expected))
    except Exception as error:
        refusal = error

    def inplace():
        a, k = to_mytorch((args, kwargs))
        mine = needing_grad((a, k))
        target = a[0].clone()
        before = target.data_ptr()
        if refusal is not None:
            try:
                quiet(getattr(target, name), *a[1:], **k)
            except Exception:  # which class is checked by the error inputs
                return
            if "derivative for" in str(refusal):  # torch lacks it: mytorch may have it
                return
            raise Mismatch(f"{name} accepted what torch refuses: {str(refusal).split(chr(10))[0]}")
        found = quiet(getattr(target, name), *a[1:], **k)
        if found is not target or (target.data_ptr() != before and target.numel() == a[0].numel()):
            raise Mismatch(f"{name} did not write in place")
        check_equal(found, expected, name, *wanted(op, args))
        if leaves and expected.requires_grad:
            found.backward(mytorch.ones_like(found))
            check_gradients([x.grad for x in mine], [x.grad for x in leaves], leaves, f"gradient of {name}")

    report.check("inplace", lambda: describe(args, kwargs), inplace)


def run_errors(report, op, function):
    """mytorch raises an error of torch's class where torch raises one."""
    if op.error_inputs_func is None:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            errors = list(op.error_inputs("cpu"))
        except Exception:  # some rows need a device that is not there
            return
    for error in errors:
        sample = error.sample_input
        args, kwargs = (sample.input, *sample.args), sample.kwargs
        if op.name.startswith("__") and not isinstance(sample.input, torch.Tensor):
            continue  # an unbound method of Tensor, called on a number
        try:
            quiet(op.op, *args, **kwargs)
        except Exception as raised:
            kind = type(raised)
        else:
            continue  # it holds only for another device

        def run(args=args, kwargs=kwargs, kind=kind, wanted=error.error_type):
            a, k = to_mytorch((args, kwargs))
            try:
                quiet(function, *a, **k)
            except Exception as mine:
                if isinstance(mine, (kind, wanted)):
                    return
                raise Mismatch(f"raised {type(mine).__name__} ({str(mine)[:80]}), torch raises {kind.__name__}") from mine
            raise Mismatch(f"raised nothing, torch raises {kind.__name__}")

        report.check("errors", lambda args=args, kwargs=kwargs: describe(args, kwargs), run)


# ---- one operation ------------------------------------------------------------------------------------------------------------


def samples_of(op, dtype, requires_grad, limit):
    """Sample inputs, evenly taken from what op_db generates; the same on every run."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            every = list(itertools.islice(op.sample_inputs("cpu", dtype, requires_grad=requires_grad), MOST_SAMPLES))
        except Exception:  # a row whose samples need what this build of torch lacks
            return []
    if limit is None or len(every) <= limit:
        return every
    return [every[round(i * (len(every) - 1) / (limit - 1))] for i in range(limit)]


def run_op(op, limit=None, dtypes=DTYPES):
    """All checks of one row of op_db."""
    report = Report(full_name(op))
    function = counterpart(op)
    if function is None:
        raise ValueError(f"mytorch has no {op.name}")
    known = op.supported_dtypes("cpu")
    for dtype in dtypes:
        if dtype not in known:
            continue
        differentiate = dtype in (torch.float64, torch.complex128) and op.supports_autograd
        order = (2 if op.supports_gradgrad else 1) if differentiate else 0
        for sample in samples_of(op, dtype, differentiate, limit if limit is None or dtype is torch.float64 else max(limit // 2, 2)):
            args, kwargs = (sample.input, *sample.args), sample.kwargs
            run_sample(report, op, function, args, kwargs, sample.output_process_fn_grad, order)
            run_method(report, op, args, kwargs)
            run_inplace(report, op, args, kwargs, differentiate)
    run_errors(report, op, function)
    return report


def rows(names=None):
    """The rows of op_db that mytorch has, or those of the names given."""
    found = [op for op in op_db if (counterpart(op) is not None if names is None else op.name in names or full_name(op) in names)]
    return sorted(found, key=full_name)


def table(reports):
    """A markdown table of the reports."""
    lines = ["| operation | " + " | ".join(KINDS) + " |", "|---" * (len(KINDS) + 1) + "|"]
    lines += [f"| {r.name} | " + " | ".join(f"{r.passed[k]}/{r.tried[k]}" if r.tried[k] else "" for k in KINDS) + " |" for r in reports]
    return "\n".join(lines)


def main():
    """Run the rows named on the command line and print what passed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ops", help="names, separated by commas; all that mytorch has by default")
    parser.add_argument("--samples", type=int, help="sample inputs per operation and dtype; all by default")
    parser.add_argument("--dtypes", default="float64,float32,int64,bool", help="dtypes, separated by commas")
    parser.add_argument("--markdown", action="store_true", help="print a markdown table")
    parser.add_argument("--failures", type=int, default=0, help="print so many failures of each operation")
    options = parser.parse_args()
    dtypes = tuple(getattr(torch, name) for name in options.dtypes.split(","))
    reports = []
    for op in rows(None if options.ops is None else options.ops.split(",")):
        if counterpart(op) is None:
            print(f"{full_name(op)}: mytorch does not have it")
            continue
        report = run_op(op, options.samples, dtypes)
        reports.append(report)
        if not options.markdown:
            counts = "  ".join(f"{k} {report.passed[k]}/{report.tried[k]}" for k in KINDS if report.tried[k])
            print(f"{'ok  ' if not report.failures else 'FAIL'} {report.name}: {counts}", flush=True)
        shown = defaultdict(int)
        for kind, text in report.failures:
            shown[kind] += 1
            if shown[kind] <= options.failures:
                print(f"      {kind}: {text}")
    if options.markdown:
        print(table(reports))
    clean = sum(not r.failures for r in reports)
    sums = "  ".join(f"{k} {sum(r.passed[k] for r in reports)}/{sum(r.tried[k] for r in reports)}" for k in KINDS)
    print(f"\n{clean} of {len(reports)} operations pass everything; {sums}")


if __name__ == "__main__":
    main()
