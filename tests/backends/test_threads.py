"""Training gives the same bits on any number of threads, from several Python threads, around a fork and after Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import mytorch as torch
from mytorch import nn
from mytorch.nn import functional as F
from tests.backends.agreement import instruction_sets, native_as, needs_native

pytestmark = needs_native


class Block(nn.Module):
    """A GPT of one block: embedding, norm, causal attention, GELU."""

    def __init__(self):
        super().__init__()
        self.words, self.norm1, self.norm2 = nn.Embedding(17, 48), nn.LayerNorm(48), nn.LayerNorm(48)
        self.inward, self.outward = nn.Linear(48, 144), nn.Linear(48, 48)
        self.wide, self.narrow, self.scores = nn.Linear(48, 192), nn.Linear(192, 48), nn.Linear(48, 17)

    def forward(self, text):
        x = self.words(text)
        q, k, v = (p.view(*text.shape, 3, 16).transpose(1, 2) for p in self.inward(self.norm1(x)).split(48, dim=2))  # (B, H, T, D)
        x = x + self.outward(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(x.shape))
        return self.scores(x + self.narrow(F.gelu(self.wide(self.norm2(x)))))


class Reader(nn.Module):
    """Two layers of GRU and the last output's class."""

    def __init__(self):
        super().__init__()
        self.reader, self.classes = nn.GRU(40, 64, num_layers=2, dropout=0.1), nn.Linear(64, 10)

    def forward(self, x):
        return self.classes(self.reader(x)[0][-1])


def mlp():
    network = nn.Sequential(nn.Linear(200, 300), nn.ReLU(), nn.Dropout(0.2), nn.Linear(300, 70), nn.Tanh(), nn.Linear(70, 10))
    return network, torch.randn(64, 200), torch.randint(0, 10, (64,)), torch.optim.Adam


def cnn():
    network = nn.Sequential(
        nn.Conv2d(3, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(24, 32, 3, stride=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10),
    )
    return network, torch.randn(16, 3, 33, 33), torch.randint(0, 10, (16,)), torch.optim.SGD


def gru():
    return Reader(), torch.randn(20, 16, 40), torch.randint(0, 10, (16,)), torch.optim.RMSprop


def gpt():
    return Block(), torch.randint(0, 17, (8, 60)), torch.randint(0, 17, (8, 60)), torch.optim.AdamW


PROGRAMS = [mlp, cnn, gru, gpt]


def trained(program, lower=False, steps=3):
    """The parameters, buffers and losses of a program after a few steps, as bytes."""
    torch.manual_seed(3)
    network, x, target, rule = program()
    optimizer = rule(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(steps):
        with torch.autocast("cpu", enabled=lower):
            loss = F.cross_entropy(network(x).reshape(-1, 17 if program is gpt else 10), target.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    return [np.asarray(losses).tobytes(), *(t.detach().numpy().tobytes() for t in network.state_dict().values())]


@pytest.mark.parametrize("lower", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_training_gives_the_same_bits_on_one_to_four_threads(program, lower):
    for isa in instruction_sets()[:1 if lower else 3]:
        with native_as(isa, threads=1, least=None):
            alone = trained(program, lower)
        for threads in (2, 3, 4):
            with native_as(isa, threads=threads, least=None):
                same = trained(program, lower) == alone
                assert same, f"{isa}, {threads} threads"


def test_training_on_every_instruction_set_gives_nearly_the_same():
    losses = []
    for isa in instruction_sets():
        with native_as(isa, least=None):
            losses.append(np.frombuffer(trained(gpt)[0]))
    for other in losses[1:]:
        np.testing.assert_allclose(other, losses[0], 1e-4)


def test_python_threads_that_compute_at_once_do_not_disturb_each_other():
    torch.manual_seed(1)
    weight = torch.randn(250, 250) / 16
    starts = [torch.randn(120, 250) for _ in range(4)]

    def chain(x):
        x = x.clone().requires_grad_()
        y = x
        for _ in range(12):
            y = F.layer_norm(torch.tanh(y @ weight) + y, (250,))
        y.square().sum().backward()
        return y.detach().numpy().tobytes() + x.grad.numpy().tobytes()

    expected = [chain(x) for x in starts]
    found = [None] * 4

    def work(i):
        found[i] = [chain(starts[i]) for _ in range(3)]

    with native_as(threads=4, least=None):
        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for i in range(4):
        assert all(x == expected[i] for x in found[i]), f"thread {i}"  # not one comparison of all: pytest would list megabytes


def test_changing_the_number_of_threads_while_others_compute_is_safe():
    a = torch.randn(300, 300)
    expected = (a @ a).numpy().tobytes()
    wrong, done = [], threading.Event()

    def work():
        while not done.is_set():
            if (a @ a).numpy().tobytes() != expected:
                wrong.append(1)

    workers = [threading.Thread(target=work) for _ in range(2)]
    with native_as(least=None):
        for worker in workers:
            worker.start()
        for i in range(60):
            torch.backends.set_num_threads(1 + i % 5)
        done.set()
        for worker in workers:
            worker.join()
    assert not wrong


PREAMBLE = """
import os, signal, threading, time
import numpy as np
import mytorch as torch
torch.backends.set_num_threads(3)
a = torch.randn(400, 400)
expected = (a @ a).numpy().tobytes()
"""

FORK_WHILE_OTHERS_COMPUTE = PREAMBLE + """
done = False
def work():
    while not done:
        torch.relu(a @ a)
workers = [threading.Thread(target=work, daemon=True) for _ in range(2)]
for worker in workers:
    worker.start()
failed = 0
for _ in range(8):
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a child that hangs dies of it
        os._exit(0 if all((a @ a).numpy().tobytes() == expected for _ in range(3)) else 1)
    failed += os.waitpid(child, 0)[1] != 0
done = True
for worker in workers:
    worker.join()
assert (a @ a).numpy().tobytes() == expected
raise SystemExit(failed)
"""

INTERRUPT = PREAMBLE + """
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts jobs in the background has them ignore it
try:
    print("ready", flush=True)
    while True:
        torch.relu(a @ a)
except KeyboardInterrupt:
    assert (a @ a).numpy().tobytes() == expected
    print("interrupted", flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_fork_in_the_middle_of_other_threads_kernels_leaves_both_sides_computing():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK_WHILE_OTHERS_COMPUTE], timeout=120)
    assert done.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_ends_a_loop_of_kernels_and_leaves_them_usable():
    process = subprocess.Popen([sys.executable, "-c", INTERRUPT], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert output == "interrupted\n"
    assert process.returncode == 0


PRINT_THREADS = "import mytorch as torch; print(torch.get_num_threads())"


@pytest.mark.parametrize(("given", "expected"), [
    ({"MYTORCH_NUM_THREADS": "3", "OMP_NUM_THREADS": "2"}, "3"), ({"OMP_NUM_THREADS": "2,1"}, "2"), ({"OMP_NUM_THREADS": "many"}, None), ({}, None),
])
def test_the_number_of_threads_comes_from_the_environment_or_the_processors(given, expected):
    environment = {k: v for k, v in os.environ.items() if k not in ("MYTORCH_NUM_THREADS", "OMP_NUM_THREADS")} | given
    found = subprocess.run([sys.executable, "-c", PRINT_THREADS], env=environment, capture_output=True, text=True, check=True, timeout=60).stdout
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert found.strip() == (expected or str(available))


def test_a_number_of_threads_that_is_none_is_refused():
    environment = os.environ | {"MYTORCH_NUM_THREADS": "0"}
    done = subprocess.run([sys.executable, "-c", PRINT_THREADS], env=environment, capture_output=True, text=True, timeout=60)
    assert "MYTORCH_NUM_THREADS is '0'; expected a positive number" in done.stderr


def test_set_num_threads_reaches_the_extension():
    from mytorch import _native

    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    assert _native.get_num_threads() == torch.get_num_threads() == before + 1
    torch.set_num_threads(before)


class Threads(torch.utils.data.Dataset):
    """The number of threads of the process that reads an item."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        from mytorch import _native

        return _native.get_num_threads()


def test_a_worker_of_a_data_loader_computes_on_one_thread():
    loader = torch.utils.data.DataLoader(Threads(), batch_size=1, num_workers=1)
    assert [batch.item() for batch in loader] == [1, 1]


def test_the_cache_empties_under_the_name_that_users_know():
    from mytorch import _native

    if not _native.POOLED:
        pytest.skip("a build for a sanitizer has no pool")
    torch.randn(512, 512) @ torch.randn(512, 512)
    assert _native.memory()[0] > 0
    torch.cpu.empty_cache()
    assert _native.memory()[0] == 0
