"""Groups, names, hooks, checkpoints and odd arguments of every optimizer: the outcome is torch's."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.parity.outcome import assert_same  # noqa: E402

OPTIMIZERS = ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop", "ASGD", "Adafactor", "Muon")

# O: the optimizer's class; p, q: Parameters; a, b: optimizers; L: what hooks have seen; go(a): one step with a gradient of ones
HOOKS = """
(do('h = file("register_optimizer_step_pre_hook")(lambda o, a, k: L.append("pre")); g = file("register_optimizer_step_post_hook")(lambda o, a, k: L.append("post")); go(O([p])); h.remove(); g.remove(); go(O([p]))'), L)
(do('a = O([p]); a.register_step_pre_hook(lambda o, a, k: L.append("own")); h = file("register_optimizer_step_pre_hook")(lambda o, a, k: L.append("all")); go(a); h.remove()'), L)
(do('a = O([p]); a.register_step_post_hook(lambda o, a, k: L.append("own")); h = file("register_optimizer_step_post_hook")(lambda o, a, k: L.append("all")); go(a); h.remove()'), L)
(do('a = O([p]); a.register_state_dict_pre_hook(lambda o: L.append(1)); a.register_state_dict_pre_hook(lambda o: L.append(2), prepend=True); a.state_dict()'), L)
(do('a = O([p]); a.register_state_dict_post_hook(lambda o, s: L.append(1)); a.register_state_dict_post_hook(lambda o, s: L.append(2), prepend=True); a.state_dict()'), L)
(do('a = O([p]); a.register_state_dict_post_hook(lambda o, s: {"new": len(s)})'), a.state_dict())
(do('a = O([p]); a.register_load_state_dict_pre_hook(lambda o, s: {**s, "param_groups": [{**s["param_groups"][0], "lr": 9.}]}); a.load_state_dict(a.state_dict())'), a.param_groups[0]['lr'])
(do('a = O([p]); a.register_load_state_dict_pre_hook(lambda o, s: s.clear())'), a.load_state_dict(a.state_dict()))
(do('a = O([p]); a.register_load_state_dict_post_hook(lambda o: L.append(1)); a.register_load_state_dict_post_hook(lambda o: L.append(2), prepend=True); a.load_state_dict(a.state_dict())'), L)
(do('a = O([p]); a.register_step_pre_hook(lambda o, a, k: (a, k)); go(a)'), p)
(do('a = O([p]); a.register_step_pre_hook(3)'), a)
(do('a = O([p]); a.register_step_pre_hook(lambda o, a, k: (a, {"closure": lambda: L.append("called")})); go(a)'), L)
""".strip().splitlines()  # noqa: E501 - one scenario, one line

GROUPS = """
O([p]).add_param_group({'params': [p]})
O([p]).add_param_group({'lr': 3})
O([p]).add_param_group({'params': [3]})
O([p]).add_param_group({'params': [q * 2]})
O([p]).add_param_group({'params': {q}})
O([p]).add_param_group(3)
(do('a = O([p]); a.add_param_group({"params": [q], "lr": 4.})'), a)
(do('a = O([p]); a.add_param_group({"params": q, "weight_decay": 4., "own": 3})'), a, a.state_dict())
(do('a = O([p]); a.add_param_group({"params": q, "lr": .5}); q.grad = T.ones(2, 2); go(a)'), p, q)
(do('a = O([("w", p)]); a.add_param_group({"params": [("v", q)]})'), a, a.state_dict())
(do('a = O([("w", p)]); b = O([p]); b.load_state_dict(a.state_dict())'), b.state_dict())
(do('a = O([p]); b = O([("w", p)]); b.load_state_dict(a.state_dict())'), b.state_dict())
(do('a = O([("w", p)]); b = O([("v", p)]); b.load_state_dict(a.state_dict())'), b.state_dict())
O([p], maximize=True)
O([p], foreach=True)
O([p], nonsense=True)
O()
O([None])
O(None)
O('ab')
O(x for x in [p, q])
O(nn.ParameterList([p, q]))
O(nn.Sequential(nn.Linear(2, 2, bias=False)).named_parameters()).state_dict()
O(nn.Linear(2, 2, bias=False).parameters())
O([p], lr=float('inf'))
O([p], lr=T.tensor(-.1))
O([p], lr=T.tensor([.1, .2]))
""".strip().splitlines()

STEPS = """
(do('a = O([p], lr=T.tensor(.1)); go(a); go(a)'), p, a)
(do('a = O([p], lr=T.tensor([.1])); go(a)'), p)
(do('a = O([p]); go(a); a.param_groups[0]["lr"] = .25; go(a)'), p.sum().item() == p.sum().item())
(do('a = O([p], maximize=True); go(a)'), p)
(do('a = O([p]); go(a); a.zero_grad(set_to_none=False)'), p.grad)
(do('a = O([p]); go(a); a.zero_grad()'), p.grad)
(do('x = p.detach(); a = O([x]); x.grad = T.ones(3, 2); a.step()'), x)
(do('a = O([p]); r = a.step(lambda: L.append(T.is_grad_enabled()) or 3.)'), r, L)
(do('a = O([p])\\nwith T.no_grad(): a.step(lambda: L.append(T.is_grad_enabled()))'), L)
type(O([p]).state).__name__, len(O([p]).state), O.__name__, O.__mro__[-2].__name__
[f"{k}={v.default}" for k, v in signature(O.__init__).parameters.items()]
""".strip().splitlines()


@pytest.mark.parametrize("expression", HOOKS + GROUPS + STEPS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_outcome_is_torchs(name: str, expression: str) -> None:
    def scenario(T: Any) -> Any:
        def file(hook: str) -> Any:
            return getattr(importlib.import_module(f"{T.__name__}.optim.optimizer"), hook)

        def go(optimizer: Any) -> None:
            names["p"].grad = T.ones(3, 2)
            optimizer.step()

        names: dict[str, Any] = {"T": T, "nn": T.nn, "O": getattr(T.optim, name), "L": [], "file": file, "go": go,
                                 "signature": inspect.signature, "p": T.nn.Parameter(T.ones(3, 2)), "q": T.nn.Parameter(T.ones(2, 2))}
        names["do"] = lambda statements: exec(statements, names)
        return eval(expression, names)

    assert_same(scenario)
