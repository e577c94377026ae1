"""The README, and a working directory with what its commands presuppose: tiny stand-ins under the README's names."""

import os
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
STAND_INS = ("images.npz",)
"""Archives; a folder of images, `cells`, and the evidence in `examples` lie beside them."""
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


@pytest.fixture(scope="session")
def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Iterator[Desk]:
    """A working directory with the stand-ins; also the current one, for Python."""
    from smoothcert.data import load_images

    train, val = load_images(f"synthetic:{TRAIN_IMAGES}#train"), load_images(f"synthetic:{VAL_IMAGES}")
    splits = {
        "train_images": train.images,
        "train_labels": train.labels,
        "val_images": val.images,
        "val_labels": val.labels,
    }
    for name in STAND_INS:
        np.savez(tmp_path / name, class_names=np.array(train.class_names), **splits)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "cells").mkdir()
    for i, pixels in enumerate(val.images):
        Image.fromarray(pixels).save(tmp_path / "cells" / f"cell{i}.png")
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)


@pytest.fixture
def free_names() -> dict[str, object]:
    """What the README's Python takes for granted: `model` of 8 classes, and `images`, float (3, 3, 28, 28)."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    model = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 8)).eval()
    return {"__name__": "readme", "model": model, "images": torch.randint(0, 256, (3, 3, 28, 28)) / 255}
