from collections.abc import Iterator
from pathlib import Path

import pytest

from networks import write_factory, write_grey_images


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Twelve images told apart by their grey level; the working directory holds their classifiers, `nets:NAME`."""
    folder = tmp_path_factory.mktemp("grey")
    write_factory(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield write_grey_images(folder / "grey.npz")
