"""Runs torch's own table of operations, `op_db`, against mytorch: values, gradients, second gradients, variants, errors.

From the root of the repository, with torch, expecttest and hypothesis installed:

    PYTHONPATH=. python tests/parity/op_db_runner.py --ops mul,add --failures 3

prints one line per operation: passed / tried for each kind of check, and what went wrong. Without --ops it runs every operation
that mytorch has; --samples 6 limits the sample inputs per operation and dtype, --seed gives them other values, --dtypes other
dtypes. --markdown runs everything and prints the page of the documentation about compatibility, docs/compatibility.md.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections import defaultdict
from types import FunctionType

import torch
from torch.testing._internal.common_methods_invocations import op_db

import mytorch
from tests.parity.op_db_values import (
    Mismatch,
    Unconvertible,
    as_float64,
    attribute,
    check_equal,
    check_gradients,
    check_rounded,
    flat,
    fresh,
    to_mytorch,
)

KINDS = ("forward", "grad", "gradgrad", "method", "inplace", "errors")
DTYPES = (torch.float64, torch.complex128, torch.float32, torch.int64, torch.bool)
EVERY_DTYPE = (*DTYPES, torch.complex64, torch.float16, torch.bfloat16, torch.int32, torch.int16, torch.int8, torch.uint8)
UNINITIALISED = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "empty_permuted", "resize_", "resize_as_"}
ANY_PLACE = {"sort", "argsort", "topk", "mode", "kthvalue", "median", "nanmedian"}  # among equal entries torch takes any
# Factors that are determined up to a sign or a phase: compared after the function with which op_db makes them comparable.
UP_TO_PHASE = {"linalg.eig", "linalg.eigh", "linalg.svd", "svd", "svd_lowrank", "pca_lowrank"}
MOST_SAMPLES = 400  # of one operation and dtype that are generated at all


def full_name(op):
    """The name of a row: 'norm/fro' for the variant 'fro' of norm."""
    return f"{op.name}/{op.variant_test_name}" if op.variant_test_name else op.name


def counterpart(op):
    """mytorch's function for a row of op_db: of the same path, else the method of that name; None if it has neither."""
    found = attribute(mytorch, op.name)
    if not callable(found) or isinstance(found, type):
        found = None if "." in op.name else getattr(mytorch.Tensor, op.name, None)
    if found is None and op.inplace_variant is not None:  # 'uniform' stands for Tensor.uniform_
        found = getattr(mytorch.Tensor, f"{op.name}_", None)
    if found is None and getattr(op.op, "__name__", None) == op.name.lstrip("_"):  # '_segment_reduce' stands for torch.segment_reduce
        found = attribute(mytorch, op.op.__name__)
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
    return {"values": op.name not in UNINITIALISED, "places": not ties}


def run_sample(report, op, function, args, kwargs, process, order):
    """Forward and, up to `order`, gradients of one call."""
    try:
        args, kwargs = fresh(args), fresh(kwargs)
        expected = quiet(op.op, *args, **kwargs)
    except Exception:  # torch refuses its own sample: nothing to compare with
        return
    box = {}

    def forward():
        box["args"], box["kwargs"] = to_mytorch((args, kwargs))
        box["y"] = y = quiet(function, *box["args"], **box["kwargs"])
        if op.name in UP_TO_PHASE:
            check_equal(process(y), process(expected), "value")
        else:
            check_rounded(y, expected, "value", lambda: quiet(op.op, *as_float64(args), **as_float64(kwargs)), **wanted(op, args))

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


def run_method(report, op, args, kwargs, process):
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
        found = quiet(getattr(mytorch.Tensor, name), *a, **k)
        if op.name in UP_TO_PHASE:
            check_equal(process(found), process(expected), name)
        else:
            def precise():
                return quiet(getattr(torch.Tensor, name), *as_float64(args), **as_float64(kwargs))
            check_rounded(found, expected, name, precise, **wanted(op, args))

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
        def precise():
            long_args = as_float64(args)
            return quiet(getattr(long_args[0].clone(), name), *long_args[1:], **as_float64(kwargs))

        found = quiet(getattr(target, name), *a[1:], **k)
        if found is not target or (target.data_ptr() != before and target.numel() == a[0].numel()):
            raise Mismatch(f"{name} did not write in place")
        check_rounded(found, expected, name, precise, **wanted(op, args))
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


def samples_of(op, dtype, requires_grad, limit, seed=0):
    """Sample inputs, evenly taken from what op_db generates; the same on every run with one seed."""
    torch.manual_seed(seed)  # op_db itself would start every sample from one seed of its own
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            every = list(itertools.islice(op.sample_inputs("cpu", dtype, requires_grad=requires_grad, set_seed=not seed), MOST_SAMPLES))
        except Exception:  # a row whose samples need what this build of torch lacks
            return []
    if limit is None or len(every) <= limit:
        return every
    return [every[round(i * (len(every) - 1) / (limit - 1))] for i in range(limit)]


def run_op(op, limit=None, dtypes=DTYPES, seed=0):
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
        for sample in samples_of(op, dtype, differentiate, limit if limit is None or dtype is torch.float64 else max(limit // 2, 2), seed):
            args, kwargs = (sample.input, *sample.args), sample.kwargs
            run_sample(report, op, function, args, kwargs, sample.output_process_fn_grad, order)
            run_method(report, op, args, kwargs, sample.output_process_fn_grad)
            run_inplace(report, op, args, kwargs, differentiate)
    run_errors(report, op, function)
    return report


def rows(names=None):
    """The rows of op_db that mytorch has, or those of the names given."""
    found = [op for op in op_db if (counterpart(op) is not None if names is None else op.name in names or full_name(op) in names)]
    return sorted(found, key=full_name)


def main():
    """Run the rows named on the command line and print what passed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ops", help="names, separated by commas; all that mytorch has by default")
    parser.add_argument("--samples", type=int, help="sample inputs per operation and dtype; all by default")
    parser.add_argument("--dtypes", help="dtypes, separated by commas, or 'all'; float64, complex128, float32, int64 and bool by default")
    parser.add_argument("--seed", type=int, default=0, help="of the values of the samples")
    parser.add_argument("--markdown", action="store_true", help="run every dtype and print the page of the documentation")
    parser.add_argument("--failures", type=int, default=0, help="print so many failures of each operation and kind")
    options = parser.parse_args()
    every = options.markdown or options.dtypes == "all"
    dtypes = EVERY_DTYPE if every else DTYPES if options.dtypes is None else tuple(getattr(torch, name) for name in options.dtypes.split(","))
    reports = []
    for op in rows(None if options.ops is None else options.ops.split(",")):
        if counterpart(op) is None:
            print(f"{full_name(op)}: mytorch does not have it")
            continue
        report = run_op(op, options.samples, dtypes, options.seed)
        reports.append(report)
        if not options.markdown:
            show(report, options.failures)
    if options.markdown:
        from tests.parity.op_db_page import page
        print(page(reports), end="")
        return
    clean = sum(not r.failures for r in reports)
    sums = "  ".join(f"{k} {sum(r.passed[k] for r in reports)}/{sum(r.tried[k] for r in reports)}" for k in KINDS)
    print(f"\n{clean} of {len(reports)} operations pass everything; {sums}")


def show(report, most):
    """Print what passed of one operation, and the first failures of each kind."""
    counts = "  ".join(f"{k} {report.passed[k]}/{report.tried[k]}" for k in KINDS if report.tried[k])
    print(f"{'ok  ' if not report.failures else 'FAIL'} {report.name}: {counts}", flush=True)
    shown = defaultdict(int)
    for kind, text in report.failures:
        shown[kind] += 1
        if shown[kind] <= most:
            print(f"      {kind}: {text}")


if __name__ == "__main__":
    main()
