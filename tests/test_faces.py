"""torch's names for what is not there, or is always there: accelerators, TorchScript, compilers, streams. Questions have answers."""

from __future__ import annotations

import importlib

import pytest

import mytorch as torch


def test_there_is_no_accelerator():
    a = torch.accelerator
    assert (a.is_available(), a.device_count(), a.current_accelerator()) == (False, 0, None)
    with a.device_index(None):
        pass
    for call in (a.synchronize, a.current_device_index, lambda: a.set_device_index(0), a.memory_allocated, lambda: a.device_index(0).__enter__()):
        with pytest.raises(RuntimeError, match="when none is available"):
            call()


def test_the_usual_choice_of_a_device_ends_at_the_cpu():
    device = torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"
    assert torch.ones(1, device=device).device.type == "cpu"


def test_cuda_types_are_names_to_compare_with():
    assert not isinstance(torch.ones(1), torch.cuda.FloatTensor)
    assert torch.cuda.FloatTensor.dtype is torch.float32 and torch.cuda.LongTensor.is_cuda
    with pytest.raises(TypeError, match=r"use torch\.FloatTensor"):
        torch.cuda.FloatTensor(2)
    for kind in (torch.cuda.FloatTensor, "torch.cuda.FloatTensor"):
        with pytest.raises(RuntimeError, match="CUDA"):
            torch.ones(1).type(kind)
        with pytest.raises(TypeError, match="not available"):
            torch.set_default_tensor_type(kind)
    with pytest.raises(AttributeError, match="SpeedTensor"):
        torch.cuda.SpeedTensor  # noqa: B018


def test_seeding_gpus_that_are_not_there_does_nothing():
    random = importlib.import_module("mytorch.cuda.random")
    assert torch.cuda.random is random
    before = torch.get_rng_state()
    random.manual_seed(3)
    random.manual_seed_all(3)
    random.seed_all()
    assert torch.equal(torch.get_rng_state(), before)
    assert random.get_rng_state_all() == [] and random.set_rng_state_all([]) is None
    with pytest.raises(RuntimeError):
        random.get_rng_state()


def test_the_cpu_is_always_there():
    c = torch.cpu
    assert c.is_available() and c.device_count() == 1 and c.current_device() == "cpu"
    c.synchronize()
    with c.stream(c.Stream()):
        c.current_stream().synchronize()
    assert torch.get_device_module() is c and torch.get_device_module("cuda") is torch.cuda
    with pytest.raises(RuntimeError, match="Invalid device"):
        torch.get_device_module("tpu")


def test_torchscript_leaves_python_as_it_is():
    @torch.jit.script
    def double(x):
        return x * 2

    class Net(torch.nn.Module):
        scale: torch.jit.Final[int] = 3

        def forward(self, x):
            return self.helper(x) if torch.jit.is_scripting() else x * self.scale

        @torch.jit.ignore
        def helper(self, x):
            raise AssertionError

        @torch.jit.ignore(drop=True)
        def other(self, x):
            raise AssertionError

        @torch.jit.export
        def more(self, x):
            return torch.jit.annotate(list[int], [1])

        @torch.jit.unused
        def never(self):
            return None

    net = Net()
    assert double(torch.ones(1)).item() == 2 and torch.jit.script(net) is net and torch.jit.trace(net, torch.ones(1)) is net
    assert torch.jit.freeze(net)(torch.ones(1)).item() == 3 and net.more(None) == [1] and not torch.jit.is_tracing()
    assert torch.jit.isinstance([1], list[int]) and not torch.jit.isinstance((1,), (list[int], dict))
    for call in (lambda: torch.jit.save(net, "x.pt"), lambda: torch.jit.load("x.pt")):
        with pytest.raises(NotImplementedError, match=r"torch\.jit\."):
            call()


def test_the_compiler_is_absent_without_harm():
    c = torch.compiler
    assert (c.is_compiling(), c.is_dynamo_compiling(), c.is_exporting(), c.list_backends()) == (False, False, False, [])

    @c.disable
    def plain(x):
        return x + 1

    @c.disable(recursive=False)
    def other(x):
        return x + 2

    assert plain(1) == 2 and other(1) == 3 and c.allow_in_graph(plain) is plain
    assert c.compile(plain) is plain


def test_modules_compile_to_themselves():
    net = torch.nn.Linear(2, 1)
    before = net(torch.ones(1, 2))
    assert net.compile(mode="max-autotune") is None
    assert torch.equal(net(torch.ones(1, 2)), before)


def test_cond_runs_one_branch_and_its_gradient():
    x = torch.tensor([2.0], requires_grad=True)
    y = torch.cond(x.sum() > 1, lambda v: v * 3, lambda v: v * 5, (x,))
    y.backward()
    assert y.item() == 6 and x.grad.item() == 3
    assert torch.cond(False, lambda v: v, lambda v: -v, [x]).item() == -2
    with pytest.raises(RuntimeError, match="single-element"):
        torch.cond(torch.ones(2), lambda v: v, lambda v: v, (x,))


def test_switches_are_remembered():
    assert not torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    assert torch.is_warn_always_enabled()
    torch.set_warn_always(False)
    torch.set_anomaly_enabled(True)
    assert torch.is_anomaly_enabled() and torch.is_anomaly_check_nan_enabled()
    torch.set_anomaly_enabled(False)
    assert not torch.is_anomaly_enabled()
    assert torch.has_lapack and not torch.has_mkl


def test_as_subclass_is_a_view_of_another_type():
    class Mine(torch.Tensor):
        def twice(self):
            return self * 2

    x = torch.ones(2, requires_grad=True)
    y = x.as_subclass(Mine)
    assert type(y) is Mine and y.twice().tolist() == [2.0, 2.0]
    y.twice().sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    z = torch.zeros(2)
    z.as_subclass(Mine).add_(1)
    assert z.tolist() == [1.0, 1.0]
    with pytest.raises(TypeError, match="does not inherit from Tensor"):
        x.as_subclass(int)


def test_streams_are_refused_for_tensors_on_the_cpu():
    with pytest.raises(NotImplementedError, match="accelerator"):
        torch.ones(1).record_stream(torch.cpu.current_stream())


def test_distributed_is_not_available_and_says_so():
    d = torch.distributed
    assert (d.is_available(), d.is_initialized(), d.is_nccl_available()) == (False, False, False)
    with pytest.raises(ValueError, match="Default process group has not been initialized"):
        d.get_rank()
    with pytest.raises(NotImplementedError, match="training runs in one process"):
        d.init_process_group("gloo")
    assert importlib.import_module("mytorch.distributed") is d


def test_what_distributed_programs_import_is_there_and_refuses_to_run():
    d = torch.distributed
    nn = importlib.import_module("mytorch.distributed.nn")
    assert (d.ReduceOp.SUM.name, d.group.WORLD) == ("SUM", None)
    for call in (nn.all_reduce, d.destroy_process_group, d.new_group, d.all_gather_into_tensor):
        with pytest.raises(ValueError, match="run as one process"):
            call(torch.ones(1))
    with pytest.raises(ValueError, match="train the module itself"):
        torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(1, 1))
    assert not isinstance(torch.nn.Linear(1, 1), torch.nn.parallel.DistributedDataParallel)


def test_switches_of_the_compiler_can_be_set():
    torch._dynamo.config.suppress_errors = True
    torch._inductor.config.coordinate_descent_tuning = True
    assert torch._dynamo.config.suppress_errors is True
    assert torch._dynamo.config.cache_size_limit is None
    torch._dynamo.reset()
    assert not hasattr(torch._dynamo, "speed")


def test_a_script_module_is_a_module_and_no_other_module_is_one():
    class Twice(torch.jit.ScriptModule):
        @torch.jit.script_method
        def forward(self, x):
            return 2 * x

    assert Twice()(torch.ones(1)).item() == 2.0
    assert not isinstance(torch.jit.script(torch.nn.Linear(1, 1)), torch.jit.ScriptModule)
    assert torch.jit.ScriptModule is torch.jit.ScriptModule
    assert not hasattr(torch.jit, "ScriptThing")


def test_the_scaler_has_its_short_name():
    assert torch.GradScaler is torch.amp.GradScaler


def test_switches_of_cudnn_are_set_for_a_block():
    c = torch.backends.cudnn
    before = (c.enabled, c.benchmark, c.deterministic)
    with c.flags(enabled=False, deterministic=True):
        assert (c.enabled, c.benchmark, c.deterministic) == (False, False, True)
    assert (c.enabled, c.benchmark, c.deterministic) == before
    with pytest.raises(AttributeError, match=r"'mytorch\.backends\.cudnn' has no attribute 'speed': if torch has it, it is not supported yet"):
        c.speed  # noqa: B018
