"""The essay is a program: it runs, prints what it shows, and its engine has the size it claims."""

from __future__ import annotations

import ast

from tests.docs.pages import DOCS, python_blocks, run_page

ESSAY = DOCS / "how_autograd_works.md"

# definitions of the essay that look at the engine and are not part of it
NOT_ENGINE = {"show", "backward_by_paths", "gradcheck"}


def belongs_to_the_engine(statement: ast.stmt) -> bool:
    """A class, a function, an operation, or what is bound to a class."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return statement.name not in NOT_ENGINE
    if not isinstance(statement, ast.Assign):
        return False
    makes_op = isinstance(statement.value, ast.Call) and ast.unparse(statement.value.func) == "Op"
    return makes_op or any(isinstance(part, ast.Attribute) for target in statement.targets for part in ast.walk(target))


def engine_lines(source: str) -> int:
    """Lines of code of the engine in a block, without empty lines and comments."""
    lines = source.splitlines()
    count = 0
    for statement in ast.parse(source).body:
        if belongs_to_the_engine(statement):
            written = lines[statement.lineno - 1 : statement.end_lineno]
            count += sum(1 for line in written if line.strip() and not line.lstrip().startswith("#"))
    return count


def test_every_block_of_the_essay_runs_and_prints_what_the_page_shows() -> None:
    namespace = run_page(ESSAY)
    assert namespace["worst_formula_error"] < 1e-8


def test_the_engine_of_the_essay_has_about_200_lines() -> None:
    text = ESSAY.read_text(encoding="utf-8")
    assert "about 200 lines" in text
    assert 180 <= sum(engine_lines(block.source) for block in python_blocks(text)) <= 220


def test_the_little_engine_and_mytorch_give_the_same_gradients() -> None:
    import mytorch

    results = []
    for make in (run_page(ESSAY)["Tensor"], mytorch.tensor):
        a = make([[2.0, -1.0]], requires_grad=True)
        b = make([[5.0], [0.5], [3.0]], requires_grad=True)
        e = ((b @ a + 3) * a * b).sum()
        e.backward()
        results.append((a.grad._array.tolist(), b.grad._array.tolist()))
    assert results[0] == results[1]
