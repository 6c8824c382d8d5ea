"""The benchmarks run, at tiny sizes and without torch; their arithmetic is right; and the page is what the results say."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path

import pytest

import mytorch

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "benchmarks"
sys.path.insert(0, str(FOLDER))  # they are scripts, which import each other by name
try:
    import flops
    import footprint
    import models
    import operations
    import peers
    import report
    import run
    import suite
    import works
    from sides import Side
finally:
    sys.path.remove(str(FOLDER))

TINY = [name for name, work in suite.WORKS.items() if work.tiny]
AS_THEY_ARE = [name for name in suite.WORKS if name not in TINY and name not in ("mnist-epoch", "mnist-steps")]  # these take seconds


def prepared(name: str) -> works.Task:
    mytorch.manual_seed(0)
    return suite.WORKS[name].prepare(mytorch, **suite.WORKS[name].tiny)


@pytest.mark.parametrize("name", TINY + AS_THEY_ARE)
def test_every_work_runs_and_says_what_it_computes(name):
    task = prepared(name)
    values = task.values()
    assert values
    assert all(math.isfinite(value) for value in values)
    task.begin()
    task.step()


@pytest.mark.parametrize("name", [name for name in TINY if name in suite.TRAINING and suite.WORKS[name].tolerance])
def test_training_starts_again_from_the_first_weights(name):
    task = prepared(name)
    first = task.values()
    assert task.values() == pytest.approx(first, rel=1e-5)
    assert len(set(first)) == works.CHECKED_STEPS  # it learns: no step has the loss of another


def test_works_that_compute_something_else_do_not_agree():
    task, other = prepared("mlp"), prepared("gpt")
    assert works.agree(task.values(), task.values(), 1e-3)
    assert not works.agree(task.values(), other.values(), 1e-3)
    assert not works.agree([1.0], [1.0, 1.0], 1e-3)
    assert not works.agree([float("nan")], [float("nan")], 1e-3)


def test_a_digest_tells_places_apart():
    a = works.digest([mytorch.tensor([1.0, 2.0, 3.0])])
    assert a == pytest.approx([2.0, (1 * 4 / 3 + 2 * 5 / 3 + 3 * 2) / 3])
    assert a != pytest.approx(works.digest([mytorch.tensor([3.0, 2.0, 1.0])]))


def test_operations_are_counted():
    def count(model):
        return flops.of_step(model.network, model.loss, mytorch)

    # two layers: the first needs no gradient of its input
    assert count(models.mlp(mytorch, 5, (7, 3, 2))) == 2 * 5 * (2 * 7 * 3 + 3 * 3 * 2)
    # six times: three gates of the input, which needs no gradient, and of the state; then the last layer
    gates = 2 * 2 * (3 * 4) * 4
    assert count(models.cell_loop(mytorch, 4, 6, 2)) == 6 * (2 * gates + 3 * gates) + 3 * 2 * 2 * 4 * 10


def test_a_convolution_is_counted():
    network = mytorch.nn.Sequential(mytorch.nn.Conv2d(2, 3, 3, padding=1))
    x = mytorch.randn(4, 2, 5, 5)
    once = 2 * 4 * 3 * 25 * 2 * 9
    assert flops.of_step(network, lambda: network(x), mytorch) == 2 * once
    assert flops.of_step(network, lambda: network(x), mytorch, training=False) == once


def test_names_are_unique_and_unknown_ones_are_refused():
    assert sum(map(len, suite.FAMILIES.values())) == len(suite.WORKS)
    assert not set(suite.WORKS) & set(suite.FAMILIES)
    assert run.selection(["gru", "vmap"]) == {"training": ["gru"], "vmap": list(suite.FAMILIES["vmap"])}
    assert set(run.selection(None)) == set(suite.FAMILIES)
    with pytest.raises(SystemExit, match="no benchmark is named gruu"):
        run.selection(["gruu"])
    with pytest.raises(SystemExit):
        run.parse(["--publish", "--only", "gru"])


def test_a_process_prepares_times_and_reports():
    side = Side("mytorch", 1)
    try:
        assert side.ask("version").startswith(f"{mytorch.__version__} (")
        answer = side.ask("prepare", work="small-mlp")
        assert len(answer["values"]) == works.CHECKED_STEPS
        assert answer["flops"] == 2 * 32 * (2 * 20 * 32 + 3 * 32 * 2)
        assert 0 < side.ask("time", work="small-mlp", seconds=0.002) < 1
        memory = side.ask("memory", work="small-mlp", steps=3)
        assert memory["peak_mb"] > 10
        assert memory["faults"] >= 0
        with pytest.raises(RuntimeError, match="KeyError"):
            side.ask("prepare", work="no such work")
        with pytest.raises(RuntimeError, match="took more than 0 s"):
            side.ask("product_limit", timeout=0.001, repeats=3)
        with pytest.raises(RuntimeError, match="ended"):
            side.ask("version")
    finally:
        side.close()


def timed(times, **more):
    return {"seconds": times, "values": [1.0], "flops": 2e9, **more}


RESULTS = {
    "machine": {"processor": "a processor", "cores": 2, "threads": 2, "clock": "wall", "python": "3.11.0",
                "system": "Linux", "rounds": 3, "others": 0.25, "versions": {"mytorch": "0.1", "torch": "2.13.0"}},
    "limits": {"numpy": [100e9, 200e9], "torch": [150e9]},
    "rows": [
        {"family": "training", "name": "mlp", "title": "an MLP", "libraries": {
            "mytorch": timed([0.02, 0.04, 0.02], faults=3.0, peak_mb=40.0), "torch": timed([0.04, 0.04, 0.08], faults=900.0, peak_mb=300.0),
            "torch.compile": {"skipped": "took more than 75 s"}, "jax": timed([0.01, 0.01, 0.01])}},
        {"family": "autocast", "name": "gpt-bf16", "title": "a GPT", "libraries": {
            "mytorch": timed([0.01]), "mytorch float32": timed([0.02]), "torch": timed([0.03]), "torch float32": timed([0.04])}},
        {"family": "operations", "name": "add", "title": "add", "libraries": {
            "mytorch": timed([2e-5]), "torch": {"skipped": "computes something else"}}},
    ],
    "imports": {"numpy": [0.05], "mytorch": [0.08], "torch": [1.2]},
    "sizes": {"mytorch": {"own_mb": 3.0, "all_mb": 60.0}, "torch": {"own_mb": 700.0, "all_mb": 800.0}},
}


def test_the_page_says_what_the_results_say():
    page = report.page(RESULTS)
    assert "| an MLP | 20 ms | 40 ms | 0.50 (0.38 .. 0.75) | 50 % | 25 % |" in page
    assert "Geometric mean of the ratios: 0.50" in page
    assert "| an MLP | - | 10 ms, 2.00 (2.00 .. 3.00) |" in page
    assert "- torch.compile, an MLP: took more than 75 s" in page
    assert "| a GPT | 10 ms, 0.50 (0.50 .. 0.50) | 30 ms, 0.75 (0.75 .. 0.75) |" in page
    assert "| an MLP | 3 | 900 | 40 MB | 300 MB |" in page
    assert "| add | 20 µs | - | - | 50000 % | - |" in page
    assert "| torch | 1200 ms (1200 .. 1200) | 700.0 MB | 800.0 MB |" in page
    assert "200 GFLOP/s" in page
    assert "other programs took 25 % of" in page


def test_a_quiet_machine_is_not_called_busy():
    assert "Provisional" not in report.page(RESULTS | {"machine": RESULTS["machine"] | {"others": 0.02}})


def test_the_page_needs_no_more_than_one_family():
    page = report.page(RESULTS | {"rows": RESULTS["rows"][2:], "limits": {}})
    assert "## Single operations" in page
    assert "## Training" not in page


def test_the_picture_is_the_same_for_the_same_results(tmp_path):
    pytest.importorskip("matplotlib")
    pictures = []
    for name in ("a.svg", "b.svg"):
        assert report.plot(RESULTS, tmp_path / name)
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0] == pictures[1]
    assert not report.plot(RESULTS | {"rows": []}, tmp_path / "c.svg")


def test_the_published_page_is_made_from_the_published_results():
    results = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))
    assert (ROOT / "docs" / "performance.md").read_text(encoding="utf-8") == report.page(results)


def test_sizes_and_imports_are_measured():
    sizes = footprint.install_sizes(["mytorch"])["mytorch"]
    assert 1 < sizes["own_mb"] < sizes["all_mb"]
    assert "numpy" in footprint.required("matplotlib", set()) or importlib.util.find_spec("matplotlib") is None
    assert footprint.required("a-package-that-is-not-there", set()) == set()


SIZES = {"mlp": suite.TRAINING["mlp"].tiny, "cnn": suite.TRAINING["cnn"].tiny, "gru": suite.TRAINING["gru"].tiny}


@pytest.mark.parametrize("library", ["jax", "mlx"])
@pytest.mark.parametrize("name", list(peers.MODELS))
def test_peers_compute_the_same(library, name):
    pytest.importorskip(library)
    assert works.agree(peers.prepare(library, name, **SIZES[name]).values(), prepared(name).values(), 1e-3)


def test_a_peer_without_the_work_says_so():
    with pytest.raises(NotImplementedError, match="gru is not written for tinygrad"):
        peers.prepare("tinygrad", "gru")


def test_an_optimizer_is_stepped():
    before = works.digest([mytorch.randn(3)])
    assert operations.update(mytorch, "Adam", count=1, size=3).values() != before
