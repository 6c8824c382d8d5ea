"""The kernels that this source expects of the extension, by name, with the letters of their arguments (csrc/kernels.h).

An extension built from older sources would lack some of them, or take other arguments: it is refused when it is imported. The file is
written by `python -m mytorch.backends.native.signatures`, from the extension at hand; run it when a kernel came, went or changed.
"""

from __future__ import annotations

__mytorch__ = True

SIGNATURES: dict[str, str] = {
    "abs": "rw",
    "adadelta_step": "wrwwffffi",
    "adagrad_step": "wrwfffi",
    "adam_step": "wrwwWffffffii",
    "adamax_step": "wrwwffffffi",
    "add": "rrw",
    "add_number": "rfw",
    "add_to_rows": "rriw",
    "asgd_step": "wrwffffi",
    "attention": "rrrRwwfi",
    "attention_grad": "rrrrRrrwwwfi",
    "avg_pool": "rwiiiiiiiiii",
    "avg_pool_grad": "rwiiiiiiiiii",
    "batch_norm": "rRRwwwf",
    "batch_norm_by": "rRRrrwf",
    "batch_norm_grad": "rrRrrwwwif",
    "box_muller": "wff",
    "cast": "rw",
    "conv": "rrRwiiiiiiiiii",
    "conv_grad_bias": "rw",
    "conv_grad_input": "rrRwiiiiiiiiii",
    "conv_grad_weight": "rrwiiiiiiiiii",
    "copy": "rw",
    "cross_entropy": "rriiww",
    "cross_entropy_grad": "rrriiw",
    "div": "rrw",
    "div_number": "rfw",
    "draw_bernoulli": "wwi",
    "draw_integers": "wwii",
    "draw_permutation": "ww",
    "draw_uniform": "wwff",
    "dropout": "rrfw",
    "elu": "rfffw",
    "elu_grad": "rrfffw",
    "exp": "rw",
    "gelu": "rw",
    "gelu_grad": "rrw",
    "gelu_tanh": "rw",
    "gelu_tanh_grad": "rrw",
    "group_norm": "rRRwwwf",
    "group_norm_grad": "rrRrrwwwf",
    "gru": "rrRrrRRRiiwWWWwW",
    "gru_grad": "RrrRrrRrRRiiwWWWWw",
    "hardshrink": "rfffw",
    "hardshrink_grad": "rrfffw",
    "hardsigmoid": "rfffw",
    "hardsigmoid_grad": "rrfffw",
    "hardswish": "rfffw",
    "hardswish_grad": "rrfffw",
    "hardtanh": "rfffw",
    "hardtanh_grad": "rrfffw",
    "kept": "rrw",
    "layer_norm": "rRRwwwf",
    "layer_norm_grad": "rrRrrwwwf",
    "leaky_relu": "rfffw",
    "leaky_relu_grad": "rrfffw",
    "linear_grad": "rrRWWW",
    "log": "rw",
    "log_sigmoid": "rfffw",
    "log_sigmoid_grad": "rrfffw",
    "log_softmax": "riw",
    "log_softmax_grad": "rriw",
    "logsumexp": "riw",
    "lstm": "rrRrrRRRiiwWWWwW",
    "lstm_grad": "RrrRrrRrRRiiwWWWWw",
    "matmul": "rrRw",
    "matmul_bfloat16": "rrRwi",
    "max_pool": "rwWiiiiiiii",
    "max_pool_grad": "rrwiiiiiiii",
    "maximum": "rrw",
    "minimum": "rrw",
    "mish": "rfffw",
    "mish_grad": "rrfffw",
    "mul": "rrw",
    "mul_number": "rfw",
    "nadam_step": "wrwwffffffffi",
    "neg": "rw",
    "number_div": "rfw",
    "number_sub": "rfw",
    "put": "rwii",
    "radam_step": "wrwwffiffffi",
    "relu": "rw",
    "relu_grad": "rrw",
    "repeat": "rwf",
    "rms_norm": "rRwwf",
    "rms_norm_grad": "rrRrww",
    "rmsprop_step": "wrwWWfffffi",
    "rnn_relu": "rrRrrRRRiiwWWWwW",
    "rnn_relu_grad": "RrrRrrRrRRiiwWWWWw",
    "rnn_tanh": "rrRrrRRRiiwWWWwW",
    "rnn_tanh_grad": "RrrRrrRrRRiiwWWWWw",
    "rprop_step": "wrwwffffi",
    "sgd_step": "wrWffffiii",
    "sigmoid": "rw",
    "sigmoid_grad": "rrw",
    "silu": "rw",
    "silu_grad": "rrw",
    "softmax": "riw",
    "softmax_grad": "rriw",
    "softplus": "rfffw",
    "softplus_grad": "rrfffw",
    "softshrink": "rfffw",
    "softshrink_grad": "rrfffw",
    "sort": "rwwi",
    "sqrt": "rw",
    "square": "rw",
    "sub": "rrw",
    "sub_number": "rfw",
    "sum": "rwiiiif",
    "take_rows": "rrw",
    "tanh": "rw",
    "tanh_grad": "rrw",
    "threshold": "rfffw",
    "threshold_grad": "rrfffw",
    "topk": "rwwi",
    "where": "rrrw",
}


def differences(found: dict[str, str]) -> list[str]:
    """What an extension with these signatures lacks, or has otherwise than this source expects."""
    return [name for name, signature in SIGNATURES.items() if found.get(name) != signature]


def rewrite() -> None:
    """Write the signatures of the extension at hand into this file."""
    from pathlib import Path

    from mytorch import _native

    path = Path(__file__)
    before, rest = path.read_text().split("SIGNATURES: dict[str, str] = {\n", 1)
    after = rest.split("}\n", 1)[1]
    lines = "".join(f'    "{name}": "{signature}",\n' for name, signature in sorted(_native.signatures().items()))
    path.write_text(f"{before}SIGNATURES: dict[str, str] = {{\n{lines}}}\n{after}")


if __name__ == "__main__":
    rewrite()
