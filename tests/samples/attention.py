"""Rows of attention."""

from __future__ import annotations

from tests.samples.rows import Error, F, Sample

SDPA = F + "scaled_dot_product_attention"

ROWS = [
    Sample(SDPA, lambda m: (m(2, 3, 4), m(2, 5, 4), m(2, 5, 2))),
    Sample(SDPA, lambda m: (m(2, 3, 4), m(2, 3, 4), m(2, 3, 4)), {"is_causal": True}),
    Sample(SDPA, lambda m: (m(2, 3, 4), m(2, 5, 4), m(2, 5, 2), m(3, 5)), {"scale": 0.7}),
    Sample(SDPA, lambda m: (m(2, 1, 3, 4), m(2, 1, 5, 4), m(2, 1, 5, 2), m.bools(2, 1, 3, 5))),
    Sample(SDPA, lambda m: (m(1, 4, 3, 2), m(1, 2, 3, 2), m(1, 2, 3, 2)), {"enable_gqa": True}),
    Sample(SDPA, lambda m: (m(2, 3, 4), m(2, 5, 4), m(2, 5, 2)), {"dropout_p": 0.5}, random=True),
    Sample(F + "multi_head_attention_forward",
           lambda m: (m(3, 2, 4), m(5, 2, 4), m(5, 2, 4), 4, 2, m(12, 4), m(12), m(1, 1, 4), m(1, 1, 4), True, 0.0, m(4, 4), m(4)),
           lambda m: {"attn_mask": m(3, 5)}),
    Sample(F + "multi_head_attention_forward",
           lambda m: (m(3, 2, 4), m(5, 2, 3), m(5, 2, 2), 4, 2, None, m(12), None, None, False, 0.0, m(4, 4), None),
           lambda m: {"use_separate_proj_weight": True, "q_proj_weight": m(4, 4), "k_proj_weight": m(4, 3), "v_proj_weight": m(4, 2),
                      "need_weights": False}),
]

ERRORS = [
    Error(SDPA, lambda m: (m(3), m(2, 3), m(2, 3)), RuntimeError, "Expected query, key, and value to all be  at least 2 dimensional"),
    Error(SDPA, lambda m: (m(2, 3), m(2, 3).float(), m(2, 3)), RuntimeError, "Expected query, key, and value to have the same dtype"),
    Error(SDPA, lambda m: (m(2, 3), m(2, 3), m(2, 3), m.ints(2, 2)), RuntimeError,
          "Expected attn_mask dtype to be bool or float or to match query dtype"),
    Error(SDPA, lambda m: (m(2, 3), m(2, 3), m(2, 3), m(2, 2)), RuntimeError, "Explicit attn_mask should not be set when is_causal=True",
          {"is_causal": True}),
    Error(SDPA, lambda m: (m(2, 3), m(2, 3), m(2, 3)), RuntimeError, "dropout probability has to be between 0 and 1, but got 1.5",
          {"dropout_p": 1.5}),
    Error(F + "multi_head_attention_forward",
          lambda m: (m(3, 2, 5), m(3, 2, 5), m(3, 2, 5), 4, 2, m(12, 4), m(12), None, None, False, 0.0, m(4, 4), m(4)), AssertionError,
          "was expecting embedding dimension of 4, but got 5"),
]
