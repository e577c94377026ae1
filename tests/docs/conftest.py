"""The pages, and a working directory with what their commands presuppose: tiny stand-ins under the pages' names."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "SECURITY.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
TRAIN_IMAGES, VAL_IMAGES = 24, 4


@dataclass(frozen=True)
class Desk:
    """A working directory in which commands of a document are pasted into a shell."""

    folder: Path

    def paste(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run one command as `sh` reads it: at home here, on one thread, which is fastest for so few images."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        threads = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
        return subprocess.run(
            ["sh", "-e", "-c", command],
            cwd=self.folder,
            env=os.environ | threads | {"PATH": path, "HOME": str(self.folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )


@contextmanager
def scripts(folder: Path, names: Sequence[str]) -> Iterator[dict[str, ModuleType]]:
    """The modules of a script that writes a document, by name; other scripts have modules of these names too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setattr(sys, "dont_write_bytecode", True)
        for name in names:
            patch.delitem(sys.modules, name, raising=False)
        yield {name: import_module(name) for name in names}
        for name in names:
            sys.modules.pop(name)


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Iterator[Desk]:
    """A working directory with `images.npz`, image files in `cells`, and `examples`; the current one for Python too."""
    from smoothcert.data import load_images

    train, val = load_images(f"synthetic:{TRAIN_IMAGES}#train"), load_images(f"synthetic:{VAL_IMAGES}")
    splits = {
        "train_images": train.images,
        "train_labels": train.labels,
        "val_images": val.images,
        "val_labels": val.labels,
    }
    np.savez(tmp_path / "images.npz", class_names=np.array(train.class_names), **splits)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "cells").mkdir()
    for i, pixels in enumerate(val.images):
        Image.fromarray(pixels).save(tmp_path / "cells" / f"cell{i}.png")
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory) -> Path:
    """A finished run of the shipped classifier at sigma 0.5, for pages about what to do with one."""
    from smoothcert.cli import main

    folder = tmp_path_factory.mktemp("finished") / "RUN"
    settings = ["--model", "demo", "--data", f"synthetic:{VAL_IMAGES}", "--sigma", "0.5", "--n-max", "1000"]
    with pytest.raises(SystemExit) as done:
        main(["certify", *settings, "--out", str(folder)])
    assert not done.value.code
    return folder


@pytest.fixture
def with_run(desk, finished_run) -> Desk:
    """A working directory that has a finished run, `RUN`, as well."""
    shutil.copytree(finished_run, desk.folder / "RUN")
    return desk
