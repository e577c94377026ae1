"""What lies on disk is version 1 of the formats: every stored file is read and written back as it stands."""

import gzip
import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest

from refusals import refuses
from smoothcert import formats
from smoothcert.config import Request, Spec, read_spec
from smoothcert.errors import SpecError
from smoothcert.formats import card, event, line, spec
from smoothcert.formats.event import KINDS, event_line, parse_event, unknown_of
from smoothcert.formats.line import KEYS, parse_line
from smoothcert.verify import verify

ROOT = Path(__file__).parents[2]
STORED = (ROOT / "tests" / "golden" / "written", ROOT / "examples")


def files(name: str) -> list[Path]:
    return sorted(path for folder in STORED for path in folder.rglob(name))


@pytest.mark.parametrize("path", files("spec.json"), ids=lambda path: path.parent.name)
def test_each_spec_is_written_as_it_was_read(path: Path) -> None:
    text = path.read_bytes()
    again = read_spec(text)
    assert again.to_json().encode() == text
    assert read_spec(again.to_json()) == again
    assert again.sha256() == hashlib.sha256(text).hexdigest()
    assert again.unknown == ()


@pytest.mark.parametrize("path", files("*.jsonl*"), ids=lambda path: "-".join(path.parts[-3:]))
def test_each_line_is_written_as_it_was_read(path: Path) -> None:
    lines = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).splitlines()
    assert lines
    for text in lines:
        if path.name == "events.jsonl":
            assert event_line(parse_event(text)) == text
            assert unknown_of(parse_event(text)) == []
        else:
            assert parse_line(text).to_json().encode() == text


def test_every_key_is_documented() -> None:
    """The documents of the formats name each key that a stored file, or a class of this package, has."""
    for module, keys in (
        (spec, {*_keys(Spec), *_keys(Request)}),
        (line, {*KEYS}),
        (event, {"event", "at", "previous", *KINDS}),
        (card, {"layout", "channels", "output"}),
    ):
        named = set(re.findall(r"`([a-z_0-9 ]+)`", module.__doc__ or ""))
        told = named | {name for kind in KINDS.values() for name in re.findall(r"`([a-z ]+)`", kind.__doc__ or "")}
        assert keys <= (told if module is event else named), module.__name__
    for kind in KINDS.values():
        assert all(field.description for field in kind.model_fields.values()), kind
    assert formats.__doc__


def _keys(model: type) -> set[str]:
    fields = getattr(model, "model_fields", {})
    inner = [kind for field in fields.values() for kind in _models(field.annotation)]
    return {*fields, *(key for kind in inner for key in _keys(kind))}


def _models(kind: object) -> list[type]:
    if isinstance(kind, type) and hasattr(kind, "model_fields"):
        return [kind]
    return [found for part in getattr(kind, "__args__", ()) for found in _models(part)]


def test_keys_of_a_newer_minor_version_are_kept_and_noted(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(STORED[0] / "plain", run)
    shutil.rmtree(run / "results")
    record = json.loads((run / "spec.json").read_bytes())
    record["request"]["later"] = {"a": 1}
    record["models"][0]["more"] = [1]
    with pytest.raises(SpecError):
        read_spec(json.dumps(record))
    record["minor"] = spec.MINOR + 1
    text = json.dumps(record, indent=1, sort_keys=True) + "\n"
    (run / "spec.json").write_text(text)
    assert read_spec(text).to_json() == text
    assert set(read_spec(text).unknown) == {"request.later", "models[0].more"}
    records = [json.loads(each) for each in (run / "events.jsonl").read_text().splitlines()][:-1]
    records[0]["spec_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    records[1]["fact"] = 1
    previous, chained = "0" * 64, []
    for each in records:
        chained.append(json.dumps({**each, "previous": previous}, sort_keys=True))
        previous = hashlib.sha256(chained[-1].encode()).hexdigest()
    (run / "events.jsonl").write_text("\n".join(chained) + "\n")
    report = verify(run)
    assert report.faults == ()
    assert [note for note in report.notes if "request.later" in note and "'fact'" in note]


def test_an_unknown_key_of_a_ledger_line_is_refused() -> None:
    path = STORED[0] / "plain" / "ledger" / "local-0.jsonl"
    record = json.loads(path.read_bytes().splitlines()[0])
    for name in ("output", "later"):
        with refuses("E-RUN-054", match=f"unknown key '{name}'"):
            parse_line(json.dumps({**record, name: 1}))
