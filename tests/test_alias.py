"""`import torch` that means mytorch: each program in a process of its own, for it changes what the process imports."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return subprocess.run([sys.executable, *arguments], cwd=cwd or ROOT, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
                          capture_output=True, text=True, timeout=120, check=False)


def output_of(program: str) -> str:
    """What a program prints that begins with install_as_torch."""
    done = run("-c", "import mytorch; mytorch.install_as_torch()\n" + textwrap.dedent(program))
    assert done.returncode == 0, done.stderr
    return done.stdout


def script(folder: Path, text: str, name: str = "script.py") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


def test_names_of_torch_give_the_modules_of_mytorch() -> None:
    assert output_of("""
        import sys
        import torch, mytorch
        import torch.nn as nn
        import torch.nn.functional as F
        import torch.distributions.constraints as constraints
        from torch import optim
        from torch.utils.data import DataLoader, TensorDataset
        from torch.optim.lr_scheduler import StepLR
        assert torch is mytorch and sys.modules["torch.nn"] is nn is mytorch.nn
        assert F is mytorch.nn.functional and constraints is mytorch.distributions.constraints and optim is mytorch.optim
        assert DataLoader is mytorch.utils.data.DataLoader and StepLR is mytorch.optim.lr_scheduler.StepLR
        loader = DataLoader(TensorDataset(torch.arange(4)), batch_size=2)
        print([batch.tolist() for batch, in loader])
    """) == "[[0, 1], [2, 3]]\n"


def test_modules_and_classes_keep_their_own_names() -> None:
    assert output_of("""
        import copy, pickle
        import torch.nn as nn
        print(nn.__name__, nn.__spec__.name, nn.Linear.__module__)
        print(pickle.loads(pickle.dumps(nn.Linear)) is nn.Linear, b"mytorch.nn" in pickle.dumps(nn.Linear))
    """) == "mytorch.nn mytorch.nn mytorch.nn.linear\nTrue True\n"


def test_the_version_is_that_of_the_torch_which_is_followed() -> None:
    assert output_of("""
        import torch
        from torch.torch_version import TorchVersion
        major, minor = map(int, torch.__version__.split(".")[:2])
        print(major, minor, torch.__version__ >= "2.4", torch.__version__ < (2, 4), isinstance(torch.__version__, TorchVersion))
        print(torch.version.__version__ == torch.__version__, torch.__version__.split("+")[1])
    """) == "2 13 True False True\nTrue mytorch0.1.0\n"


def test_a_second_call_changes_nothing() -> None:
    assert output_of("""
        import sys, mytorch
        before = list(sys.meta_path)
        mytorch.install_as_torch()
        print(sys.meta_path == before)
    """) == "True\n"


def test_a_torch_that_is_imported_already_is_refused(tmp_path: Path) -> None:
    script(tmp_path, "x = 1\n", "torch.py")
    program = "import sys; sys.path.insert(0, sys.argv[1]); import torch, mytorch; mytorch.install_as_torch()"
    done = run("-c", program, str(tmp_path))
    assert done.returncode == 1
    assert "RuntimeError: install_as_torch: PyTorch is already imported" in done.stderr
    assert str(tmp_path) in done.stderr


@pytest.mark.parametrize(("line", "error", "nearest"), [
    ("torch.matmull", "AttributeError", "torch.matmul"),
    ("torch.nn.Linaer", "AttributeError", "torch.nn.Linear"),
    ("torch.nn.functional.crossentropy", "AttributeError", "torch.nn.functional.cross_entropy"),
    ("from torch import matmull", "ImportError", "torch.matmul"),
    ("from torch.nn.functional import relu7", "ImportError", "torch.nn.functional.relu"),
    ("import torch.distribution", "ModuleNotFoundError", "torch.distributions"),
    ("from torch.optim.lr_schedulers import StepLR", "ModuleNotFoundError", "torch.optim.lr_scheduler"),
])
def test_a_name_that_is_absent_is_refused_with_the_nearest(line: str, error: str, nearest: str) -> None:
    text = output_of(f"""
        import torch
        try:
            exec({line!r})
        except Exception as error:
            print(type(error).__name__, error)
    """)
    kind, message = text.split(" ", 1)
    assert kind == error
    assert "mytorch has no such" in message
    assert nearest in message.split("nearest: ")[1].replace("\n", "").split(", ")


def test_a_neighbour_of_torch_that_is_absent_says_what_takes_its_place(tmp_path: Path) -> None:
    script(tmp_path, "__version__ = 'one that is there'\n", "torchaudio.py")
    assert output_of(f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        import torchaudio
        print(torchaudio.__version__)
        sys.path[:] = [{str(ROOT)!r}, {str(Path(os.__file__).parent)!r}]
        try:
            import torchvision.datasets
        except ImportError as error:
            print(error.name, "docs/coming_from_torch.md" in str(error))
    """) == "one that is there\ntorchvision True\n"


def test_a_function_is_no_module_and_stays_what_it_is() -> None:
    assert output_of("""
        import torch
        try:
            import torch.tensor
        except ModuleNotFoundError as error:
            print(error.name)
        print(torch.tensor(1).item(), hasattr(torch, "absent"), hasattr(torch, "__wrapped__"))
    """) == "torch.tensor\n1 False False\n"


def test_modules_that_hide_behind_a_function_or_are_switches_are_found() -> None:
    assert output_of("""
        import torch.backends.cudnn as cudnn
        from torch.autograd.gradcheck import gradcheck
        import torch
        cudnn.benchmark = True
        print(torch.backends.cudnn is cudnn, torch.backends.cudnn.benchmark, cudnn.is_available(), torch.autograd.gradcheck is gradcheck)
    """) == "True True False True\n"


def test_run_gives_a_script_its_arguments_its_folder_and_main(tmp_path: Path) -> None:
    script(tmp_path, "VALUE = 7\n", "beside.py")
    path = script(tmp_path, """
        import sys
        import torch
        import beside
        print(sys.argv[1:], __name__, beside.VALUE, torch.ones(2).sum().item(), sys.modules["__main__"].beside is beside)
        print(sys.argv[0] == __file__, sys.path[0])
        sys.exit(3)
    """)
    done = run("-m", "mytorch", "run", str(path), "--lr", "0.1")
    assert done.stdout == f"['--lr', '0.1'] __main__ 7 2.0 True\nTrue {tmp_path.resolve()}\n", done.stderr
    assert done.returncode == 3


def test_run_takes_a_module_by_name(tmp_path: Path) -> None:
    script(tmp_path, "import sys, torch\nprint(__name__, torch.__name__, sys.argv[1:])\n", "program.py")
    done = run("-m", "mytorch", "run", "-m", "program", "a", cwd=tmp_path)
    assert done.stdout == "__main__ mytorch ['a']\n", done.stderr


def test_a_traceback_begins_in_the_script(tmp_path: Path) -> None:
    path = script(tmp_path, "import torch\n\ndef main():\n    raise ValueError('from the script')\n\nmain()\n")
    done = run("-m", "mytorch", "run", str(path))
    assert done.returncode == 1
    assert done.stderr.splitlines()[:3] == ["Traceback (most recent call last):", f'  File "{path}", line 6, in <module>', "    main()"]
    assert done.stderr.splitlines()[-1] == "ValueError: from the script"
    assert "__main__.py" not in done.stderr


def test_a_syntax_error_names_the_line(tmp_path: Path) -> None:
    path = script(tmp_path, "import torch\nx = = 1\n")
    done = run("-m", "mytorch", "run", str(path))
    assert done.returncode == 1
    assert f'File "{path}", line 2' in done.stderr
    assert "SyntaxError" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("run",), ("walk", "x.py"), ("run", "-m")])
def test_a_command_line_that_names_no_program_prints_the_usage(arguments: tuple[str, ...]) -> None:
    done = run("-m", "mytorch", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: python -m mytorch run")


def test_help_is_no_error_and_a_missing_script_is_one(tmp_path: Path) -> None:
    helped = run("-m", "mytorch", "--help")
    assert (helped.returncode, helped.stdout.split(maxsplit=1)[0]) == (0, "usage:")
    missing = run("-m", "mytorch", "run", str(tmp_path / "none.py"))
    assert missing.returncode == 2
    assert "can't open file" in missing.stderr


def test_processes_that_a_script_spawns_find_the_same_torch(tmp_path: Path) -> None:
    path = script(tmp_path, """
        import multiprocessing as mp
        import torch

        def work(queue):
            import torch.nn as nn
            queue.put((torch.__name__, nn.__name__, torch.ones(3).sum().item()))

        if __name__ == "__main__":
            context = mp.get_context("spawn")
            queue = context.Queue()
            process = context.Process(target=work, args=(queue,))
            process.start()
            print(queue.get(timeout=60))
            process.join(60)
            print(process.exitcode)
    """)
    done = run("-m", "mytorch", "run", str(path))
    assert done.stdout == "('mytorch', 'mytorch.nn', 3.0)\n0\n", done.stderr
