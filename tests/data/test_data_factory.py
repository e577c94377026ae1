import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import smoothcert.errors
from smoothcert.data import DataOptions, load_images
from smoothcert.errors import DataError

SOURCE = """
import numpy as np

class Images:
    def __init__(self, items, **facts):
        self.items = items
        self.__dict__.update(facts)
    def __len__(self):
        return len(self.items)
    def __getitem__(self, i):
        item = self.items[i]
        if isinstance(item, Exception):
            raise item
        return item

GREY = np.arange(20, dtype=np.uint8).reshape(4, 5)

def arrays():
    colour = np.stack([GREY] * 3)
    return Images([(colour, 0, "p1"), (colour.transpose(1, 2, 0), np.array([1]), "p2")], class_names=["a", "b"])
def grey(): return Images([(GREY, 0), (GREY[None], 1)])
def tensors():
    import torch
    return Images([(torch.from_numpy(GREY / np.float32(255))[None], torch.tensor(1))] * 2)
def off_grid(): return Images([(np.full((1, 4, 4), 0.1234), 0)])
def deep(): return Images([(GREY.astype(np.uint16), 0)], levels=4095)
def pictures():
    from PIL import Image
    return Images([(Image.fromarray(np.dstack([GREY] * 3)), 1)] * 3)
def ragged(): return Images([(GREY, 0), (GREY[1:], 0)])
def mixed(): return Images([(GREY, 0), (GREY, 0, "p1")])
def flat(): return Images([(GREY.ravel(), 0)])
def float_label(): return Images([(GREY, 0.5)])
def bare(): return Images([GREY])
def failing(): return Images([ValueError("no disk")])
def empty(): return Images([])
def number(): return 3
def broken(): raise RuntimeError("boom")
def other_levels(): return Images([(GREY, 0)], levels=4095)
def bad_levels(): return Images([(GREY, 0)], levels="8 bits")
"""


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_images.py").write_text(SOURCE)
    (tmp_path / "bad_module.py").write_text("import no_such_thing_at_all")
    monkeypatch.chdir(tmp_path)
    for name in ("my_images", "bad_module"):
        monkeypatch.delitem(sys.modules, name, raising=False)


GREY = np.arange(20, dtype=np.uint8).reshape(4, 5)


def test_arrays_in_either_order_with_groups_and_names() -> None:
    before = list(sys.path)
    got = load_images("my_images:arrays")
    assert sys.path == before
    assert (got.shape, got.groups, got.class_names) == ((3, 4, 5), ("p1", "p2"), ("a", "b"))
    assert np.array_equal(got.images[0], got.images[1])
    assert got.labels.tolist() == [0, 1]


def test_grey_images() -> None:
    assert np.array_equal(load_images("my_images:grey").pixels(1)[0], GREY)


def test_float_tensors_on_the_grid() -> None:
    pytest.importorskip("torch")
    assert np.array_equal(load_images("my_images:tensors").pixels(0)[0], GREY)


def test_pictures() -> None:
    pytest.importorskip("PIL")
    assert load_images("my_images:pictures").shape == (3, 4, 5)


def test_quantise_and_levels() -> None:
    assert load_images("my_images:off_grid", DataOptions(quantise=12)).preprocessing == ("quantised to 12 bits",)
    assert load_images("my_images:deep").levels == 4095


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("my_images:off_grid", "my_images:off_grid: float images must be on a grid"),
        (
            "my_images:ragged",
            "item 1: .* 5 pixels wide and 3 high, but the first, item 0, is 5 by 4",
        ),
        ("my_images:mixed", "every item or none must have a group"),
        ("my_images:flat", r"item 0: the image must have shape \(C, H, W\)"),
        ("my_images:float_label", "item 0: the label must be one integer"),
        ("my_images:bare", "item 0 must be \\(image, label\\)"),
        ("my_images:failing", r"item 0 cannot be read \(ValueError: no disk\)"),
        ("my_images:empty", "at least one image"),
        ("my_images:number", "a dataset with len"),
        ("my_images:broken", r"RuntimeError: boom"),
        ("my_images:other_levels", "my_images:other_levels: levels must be 255 for uint8 and .*got 4095 with uint8"),
        ("my_images:bad_levels", "levels must be 255, 4095 or 65535"),
        ("my_images:missing", "has no function 'missing'; it has"),
        ("no_such_module_here:f", "importing no_such_module_here from"),
        ("bad_module:f", "No module named 'no_such_thing_at_all'"),
    ],
)
def test_refusals(reference: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_images(reference)


def test_importing_the_rooms_does_not_import_torch() -> None:
    code = "import smoothcert.data, smoothcert.models, smoothcert.training, sys; sys.exit('torch' in sys.modules)"
    source = str(Path(smoothcert.errors.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": source}, check=False)
    assert done.returncode == 0
