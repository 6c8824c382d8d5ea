"""From the results of a run to a page and a picture. `page` is the one function that writes docs/performance.md.

A ratio is taken within each round, of two timings that lie side by side in time; what is shown is the median of the rounds, and in
brackets the quartiles. Below 1, the first library is faster.
"""

from __future__ import annotations

import importlib.util
import math
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Results = dict[str, Any]
BUSY = 0.1  # the share of the processor that other programs may take before the page warns of it
PEERS = ("torch.compile", "jax", "mlx", "tinygrad")


def quartiles(values: Iterable[float]) -> tuple[float, float, float]:
    """Median, lower and upper quartile."""
    ordered = sorted(values)
    if len(ordered) == 1:
        return ordered[0], ordered[0], ordered[0]
    low, middle, high = statistics.quantiles(ordered, n=4, method="inclusive")
    return middle, low, high


def seconds(row: Row, label: str) -> list[float]:
    """The timings of a label in a row; empty if it has none."""
    return row["libraries"].get(label, {}).get("seconds", [])


def ratio(row: Row, label: str, other: str) -> tuple[float, float, float] | None:
    """The quartiles of the ratio of two labels, or None if one of them has no timings."""
    pairs = [a / b for a, b in zip(seconds(row, label), seconds(row, other))]
    return quartiles(pairs) if pairs else None


def median_ms(row: Row, label: str) -> float | None:
    """The median time of a step in milliseconds."""
    times = seconds(row, label)
    return statistics.median(times) * 1e3 if times else None


def limit(results: Results) -> float:
    """Operations in a second of the fastest product in the whole run."""
    return max((speed for speeds in results["limits"].values() for speed in speeds), default=0.0)


def fraction(row: Row, label: str, results: Results) -> float | None:
    """What a step reaches of the speed of the largest product, counting only its own products."""
    time, flops, most = median_ms(row, label), row["libraries"].get(label, {}).get("flops", 0), limit(results)
    return flops / (time / 1e3) / most if time and flops and most else None


def line(row: Row) -> str:
    """A row for the terminal, with the reasons of what was left out."""
    parts = [f"{row['title'][:62]:62}"]
    for label, cell in row["libraries"].items():
        time = median_ms(row, label)
        parts.append(f"{label} {'skipped: ' + cell['skipped'][:90] if time is None else show_ms(time)}")
        shown = ratio(row, "mytorch", label) if label != "mytorch" else None
        if shown:
            parts[-1] += f" (ratio {show_ratio(shown)})"
    return "  ".join(parts)


def show_ms(time: float | None) -> str:
    """Three digits and the unit."""
    if time is None:
        return "-"
    return f"{time * 1e3:.3g} µs" if time < 0.1 else f"{time:.3g} ms" if time < 1000 else f"{time:.0f} ms"


def show_ratio(found: tuple[float, float, float] | None) -> str:
    """Median and quartiles."""
    return "-" if found is None else "{:.2f} ({:.2f} .. {:.2f})".format(*found)


def show_part(part: float | None) -> str:
    """A fraction in per cent."""
    return "-" if part is None else f"{part:.0%}".replace("%", " %")


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A table in Markdown: the first column is text, the others are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(cells) + " |" for cells in rows]) + "\n"


def of(results: Results, family: str) -> list[Row]:
    """The rows of a family."""
    return [row for row in results["rows"] if row["family"] == family]


def geometric_mean(values: list[float]) -> float:
    """exp of the mean of the logarithms."""
    return math.exp(statistics.fmean(math.log(value) for value in values))


# ---- sections: each returns its text, or nothing if nothing was measured ---------------------------------------------------


def against_torch(results: Results, rows: list[Row], with_limit: bool = False) -> str:
    """Times of both and their ratio; where wanted, what each reaches of the limit."""
    head = ["", "mytorch", "torch", "ratio"] + ["mytorch, of the limit", "torch, of the limit"] * with_limit
    lines = []
    for row in rows:
        cells = [row["title"], *(show_ms(median_ms(row, label)) for label in ("mytorch", "torch")), show_ratio(ratio(row, "mytorch", "torch"))]
        lines.append(cells + [show_part(fraction(row, label, results)) for label in ("mytorch", "torch")] * with_limit)
    return table(head, lines)


def training_section(results: Results) -> str:
    """Training steps, and their geometric mean."""
    rows = of(results, "training")
    found = [middle[0] for middle in (ratio(row, "mytorch", "torch") for row in rows) if middle]
    if not rows:
        return ""
    mean = f"Geometric mean of the ratios: {geometric_mean(found):.2f}.\n\n" if found else ""
    return (f"## Training steps\n\n{against_torch(results, rows, True)}\n{mean}"
            "A step is: loss, gradients, update. Both libraries start with the same weights and the same batch, and a row counts only\n"
            "if their losses agree after five steps. (With dropout the masks need not be the same; there the losses are not compared.)\n\n"
            "![Ratios of the training steps](performance.svg)\n")


def peers_section(results: Results) -> str:
    """Training steps against others than torch."""
    labels = [label for label in PEERS if any(label in row["libraries"] for row in of(results, "training"))]
    rows = [row for row in of(results, "training") if any(label in row["libraries"] for label in labels)]
    if not labels:
        return ""
    lines = [[row["title"], *(f"{show_ms(median_ms(row, label))}, {show_ratio(ratio(row, 'mytorch', label))}" if seconds(row, label) else "-"
                              for label in labels)] for row in rows]
    reasons = sorted({f"- {label}, {row['title']}: {row['libraries'][label]['skipped']}" for row in rows for label in labels
                      if "skipped" in row["libraries"].get(label, {})})
    skipped = "\nLeft out:\n\n" + "\n".join(reasons) + "\n" if reasons else ""
    return ("## Others\n\nTheir time for a step, and the ratio of mytorch's time to it. The first weights, the batch and the losses are\n"
            f"the same again; compilation does not count.\n\n{table(['', *labels], lines)}{skipped}")


def autocast_section(results: Results) -> str:
    """bfloat16 against float32 of the same library."""
    rows = of(results, "autocast")
    lines = []
    for row in rows:
        shown = [(show_ms(median_ms(row, label)), show_ratio(ratio(row, label, f"{label} float32"))) for label in ("mytorch", "torch")]
        lines.append([row["title"], *map(", ".join, shown)])
    intro = "## bfloat16\n\nTraining under `autocast`: time of a step, and its ratio to the same library in float32.\n\n"
    return intro + table(["", "mytorch", "torch"], lines) if rows else ""


def memory_section(results: Results) -> str:
    """Page faults and peak memory."""
    lines = []
    for row in (row for family in ("training", "layers") for row in of(results, family)):
        cells = [row["libraries"].get(label, {}) for label in ("mytorch", "torch")]
        if all("faults" in cell for cell in cells):
            lines.append([row["title"], *(f"{cell['faults']:.0f}" for cell in cells), *(f"{cell['peak_mb']:.0f} MB" for cell in cells)])
    intro = ("## Memory\n\nMinor page faults in a steady step: each is a page of memory that the step took from the system anew. And the most\n"
             "memory that the process had at any time, its libraries included.\n\n")
    return intro + table(["", "faults, mytorch", "faults, torch", "peak, mytorch", "peak, torch"], lines) if lines else ""


def footprint_section(results: Results) -> str:
    """Import time and install size."""
    if "imports" not in results:
        return ""
    lines = []
    for library, size in results["sizes"].items():
        times = "{:.0f} ms ({:.0f} .. {:.0f})".format(*(1e3 * time for time in quartiles(results["imports"][library])))
        lines.append([library, times, f"{size['own_mb']:.1f} MB", f"{size['all_mb']:.1f} MB"])
    numpy = statistics.median(results["imports"]["numpy"]) * 1e3
    return (f"## Import and install\n\nThe import of NumPy alone takes {numpy:.0f} ms here. Sizes are without byte code.\n\n"
            f"{table(['', 'import', 'size of its files', 'with all that it requires'], lines)}")


def plain_section(title: str, intro: str, family: str, with_limit: bool = False) -> Callable[[Results], str]:
    """A section that is a table against torch."""
    def section(results: Results) -> str:
        rows = of(results, family)
        return f"## {title}\n\n{intro}{against_torch(results, rows, with_limit)}" if rows else ""

    return section


SECTIONS = (
    training_section,
    plain_section("Other sizes", "", "layers", True),
    peers_section,
    autocast_section,
    plain_section("Single predictions", "The time from one input to its output, without a graph.\n\n", "inference"),
    memory_section,
    plain_section("Single operations", "Where a row names gradients, those of all inputs are part of it.\n\n", "operations", True),
    plain_section("Small operations", "1,000 operations on ten numbers: what an operation costs apart from its arithmetic.\n\n", "overhead"),
    plain_section("vmap", "", "vmap"),
    plain_section("A whole program", "", "program"),
    footprint_section,
)


def page(results: Results) -> str:
    """The page, in Markdown."""
    machine = results["machine"]
    versions = ", ".join(f"{library} {version}" for library, version in sorted(machine["versions"].items()) if library != "torch.compile")
    speeds = ", ".join(f"{max(found) / 1e9:.0f} with {library}" for library, found in sorted(results["limits"].items()))
    most = limit(results) / 1e9
    warnings = {
        f"other programs took {show_part(machine['others'])} of the processor's time during the run": machine["others"] > BUSY,
        "the times are those that the processor spent, not those of the wall": machine["clock"] == "processor",
    }
    provisional = " and ".join(warning for warning, true in warnings.items() if true)
    return "\n".join(filter(None, [
        "# Performance\n",
        "This page is written by `benchmarks/report.py` from what `make bench` measured. The libraries run in processes of their own,\n"
        "which stay alive and are asked in turn, so that a slow phase of the machine meets all of them. A ratio is mytorch's time\n"
        f"divided by the other's in the same round: below 1, mytorch is faster. It is the median of {machine['rounds']} rounds; the quartiles\n"
        "are in brackets.\n",
        f"Measured on {machine['processor']}, {machine['system']}, {machine['cores']} cores, with {machine['threads']} "
        f"thread{'s' * (machine['threads'] != 1)}; Python {machine['python']}; {versions}.\n",
        f"**Provisional**: {provisional}.\n" if provisional else "",
        f"The limit is the speed of the fastest product of two 2048 x 2048 matrices in float32 in the same run: {most:.0f} GFLOP/s\n"
        f"({speeds}). What a step reaches of it counts only the operations of its own products, see `benchmarks/flops.py`.\n" if most else "",
        *(section(results) for section in SECTIONS),
    ]))


def plot(results: Results, path: Path) -> bool:
    """The ratios of the training steps as bars; False where matplotlib is not installed, or nothing was measured."""
    found = [(row["title"], ratio(row, "mytorch", "torch")) for row in of(results, "training")]
    bars = [(title, shown) for title, shown in found if shown][::-1]
    if not bars or importlib.util.find_spec("matplotlib") is None:
        return False
    import matplotlib as mpl

    mpl.use("agg")
    mpl.rcParams["svg.hashsalt"] = "performance"  # the same results, the same file
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 0.4 * len(bars) + 1.2), layout="constrained")
    middles = [shown[0] for _, shown in bars]
    spread = [[shown[0] - shown[1] for _, shown in bars], [shown[2] - shown[0] for _, shown in bars]]
    axes.barh([title for title, _ in bars], middles, xerr=spread, color="#4c72b0", ecolor="#333333", capsize=2)
    axes.axvline(1, color="#c44e52")
    axes.set_xlabel("time of a training step, mytorch / torch (below 1: mytorch is faster)")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return True


def rounded(value: Any) -> Any:
    """Results with five digits: more are noise, and make the file long."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def write(results: Results, folder: Path) -> list[Path]:
    """Write the page and the picture into a folder; their paths."""
    results = rounded(results)
    paths = [folder / "performance.md"]
    paths[0].write_text(page(results), encoding="utf-8")
    if plot(results, folder / "performance.svg"):
        paths.append(folder / "performance.svg")
    return paths
