"""The architecture page names every room of the package, and files that exist."""

import re

from .conftest import ROOT
from .markdown import spans

PACKAGE = ROOT / "src" / "smoothcert"
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_every_room_is_named():
    rooms = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("__init__.py")} - {"."}
    assert rooms - set(spans(TEXT)) == set()


def test_every_file_of_an_images_path_exists():
    files = [span for span in spans(TEXT) if re.fullmatch(r"[\w/]+\.py", span)]
    assert len(files) >= 10
    assert [file for file in files if not (PACKAGE / file).is_file()] == []
