"""DICOM files written here: rescaling, windows and inversion by hand; pseudonyms; messages without personal data."""

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refusals import refuses
from smoothcert.data import DataOptions, load_images
from smoothcert.data.dicom import pseudonym
from smoothcert.errors import DataError

pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")

RNG = np.random.default_rng(0)
CT = RNG.integers(0, 4096, (5, 7), dtype=np.uint16)
RGB = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
SECRET = "Doe^Jane 12345"
GREY12 = {"BitsStored": 12, "BitsAllocated": 16}


@pytest.fixture(autouse=True)
def salt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMOOTHCERT_SALT", "not so secret, for tests")


def dicom(path: Path, array: np.ndarray, **facts: Any) -> Path:
    """Write a DICOM file; `facts` are its further elements."""
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = facts.pop("syntax", pydicom.uid.ExplicitVRLittleEndian)
    meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    data = pydicom.Dataset()
    data.file_meta = meta
    samples = 1 if array.ndim == 2 else 3
    bits = array.dtype.itemsize * 8
    plain = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": "1.2.3",
        "PatientID": SECRET,
        "Rows": array.shape[0],
        "Columns": array.shape[1],
        "SamplesPerPixel": samples,
        "BitsAllocated": bits,
        "BitsStored": bits,
        "PixelRepresentation": int(array.dtype.kind == "i"),
        "PixelData": array.tobytes(),
        "PhotometricInterpretation": "MONOCHROME2" if samples == 1 else "RGB",
    }
    if samples == 3:
        plain["PlanarConfiguration"] = 0
    for name, value in (plain | facts).items():
        setattr(data, name, value)
    data.HighBit = data.BitsStored - 1
    if "PixelData" in data:
        data["PixelData"].VR = "OW" if bits > 8 else "OB"
    data.save_as(path, enforce_file_format=True)
    return path


def one(folder: Path, array: np.ndarray, options: DataOptions | None = None, **facts: Any) -> Any:
    dicom(folder / "a" / "0.dcm", array, **facts)
    return load_images(str(folder), options)


def by_hand(value: float, centre: float, width: float) -> float:
    """PS3.3 C.11.2.1.2.1 as it is printed there, y from 0 to 1."""
    if value <= centre - 0.5 - (width - 1) / 2:
        return 0.0
    if value > centre - 0.5 + (width - 1) / 2:
        return 1.0
    return (value - (centre - 0.5)) / (width - 1) + 0.5


@pytest.mark.parametrize("kind", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize("window", [None, (50, 350), (-600.5, 1500), (40, 1)])
def test_windows_are_the_standards_linear_formula(tmp_path: Path, kind: str, window: Any) -> None:
    facts = GREY12 | {"RescaleSlope": 1.5, "RescaleIntercept": -1024, "PhotometricInterpretation": kind}
    facts |= {"WindowCenter": [40, -600], "WindowWidth": [400, 1500]}
    got = one(tmp_path, CT, DataOptions(window=window), **facts)
    unit = np.vectorize(by_hand)(CT * 1.5 - 1024, *(window or (40, 400)))
    wanted = np.rint(4095 * (unit if kind == "MONOCHROME2" else 1 - unit))
    assert np.array_equal(got.images[0, ..., 0], wanted)
    assert got.levels == 4095
    which = f"window centre {window[0]:g} width {window[1]:g}" if window else "each file's own first window"
    inverted = ", inverted (MONOCHROME1)" if kind == "MONOCHROME1" else ""
    assert got.preprocessing == (f"DICOM: rescaled, {which}{inverted}, onto 4095 steps",)


def test_without_a_window_the_stored_bits_are_the_range(tmp_path: Path) -> None:
    got = one(tmp_path / "twelve", CT, **GREY12)
    assert np.array_equal(got.images[0, ..., 0], CT)
    assert got.preprocessing == ("DICOM: rescaled, the whole range of the stored bits, onto 4095 steps",)
    signed = (CT.astype(np.int32) - 2048).astype(np.int16)
    got = one(tmp_path / "signed", signed, **GREY12, RescaleSlope=2, RescaleIntercept=5)
    assert np.array_equal(got.images[0, ..., 0], CT)
    falling = one(tmp_path / "falling", CT, **GREY12, RescaleSlope=-1, RescaleIntercept=4095)
    assert np.array_equal(falling.images[0, ..., 0], 4095 - CT)


def test_sixteen_stored_bits_come_onto_the_12_bit_grid(tmp_path: Path) -> None:
    deep = (CT * 16 + 3).astype(np.uint16)
    assert np.array_equal(one(tmp_path, deep).images[0, ..., 0], np.rint(deep / 65535 * 4095))


def test_bits_above_those_stored_are_not_the_images(tmp_path: Path) -> None:
    """Old files keep overlays there."""
    assert np.array_equal(one(tmp_path, CT | np.uint16(1 << 14), **GREY12).images[0, ..., 0], CT)


def test_eight_bits_stay_as_they_are(tmp_path: Path) -> None:
    got = one(tmp_path / "grey", RGB[..., 0])
    assert (got.levels, got.images.dtype) == (255, np.uint8)
    assert np.array_equal(got.images[0, ..., 0], RGB[..., 0])
    got = one(tmp_path / "colour", RGB)
    assert np.array_equal(got.images[0], RGB)
    assert got.preprocessing == ("DICOM: 8-bit RGB as stored",)


def test_lossless_compression_changes_nothing(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a" / "0.dcm", CT, **GREY12)
    data = pydicom.dcmread(path)
    data.compress(pydicom.uid.RLELossless)
    data.save_as(path)
    assert np.array_equal(load_images(str(tmp_path)).images[0, ..., 0], CT)


def test_content_tells_dicom_not_the_name(tmp_path: Path) -> None:
    for name in ("IM000001", "1.2.840.113619", "x.dcm"):
        dicom(tmp_path / "a" / name, CT, **GREY12)
    (tmp_path / "a" / "DICOMDIR").write_text("junk")
    assert len(load_images(str(tmp_path))) == 3
    (tmp_path / "set.csv").write_text("path,label\na/IM000001,eos\na/x.dcm,mono\n")
    assert load_images(f"{tmp_path}/set.csv").groups == (pseudonym(SECRET),) * 2
    (tmp_path / "a" / "LICENSE").write_text("words")
    with refuses("E-DATA-048"):
        load_images(str(tmp_path))


REFUSED = {
    "frames": ({"NumberOfFrames": 3}, "got 3 frames"),
    "no pixels": ({"PixelData": None}, "no integer image"),
    "YBR": ({"PhotometricInterpretation": "YBR_FULL"}, "MONOCHROME2 or RGB, got YBR_FULL"),
    "palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, "got PALETTE COLOR"),
    "deep RGB": ({"PhotometricInterpretation": "RGB"}, "RGB of 8 bits per value"),
    "sigmoid": ({"WindowCenter": 1, "WindowWidth": 9, "VOILUTFunction": "SIGMOID"}, "LINEAR, got SIGMOID"),
    "narrow": ({"WindowCenter": 1, "WindowWidth": 0.5}, "at least 1, got 0.5"),
    "cut": ({"PixelData": b"\0\1"}, "the image is damaged or cut short"),
    "modality table": ({"ModalityLUTSequence": []}, "Modality LUT"),
    "window table": ({"VOILUTSequence": []}, r"VOI LUT.*--window CENTRE,WIDTH"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_needs_a_choice_is_refused_and_names_nobody(tmp_path: Path, case: str) -> None:
    facts, sentence = REFUSED[case]
    with pytest.raises(DataError, match=sentence) as refused:
        one(tmp_path, CT, **(GREY12 | facts))
    assert str(refused.value).startswith(f"{tmp_path}/a/0.dcm: ")
    assert "Doe" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


def test_a_window_of_the_users_replaces_what_a_file_says(tmp_path: Path) -> None:
    facts = GREY12 | {"WindowCenter": 1, "WindowWidth": 9, "VOILUTFunction": "SIGMOID"}
    assert len(one(tmp_path, CT, DataOptions(window=(2048, 4096)), **facts)) == 1


def test_compression_without_a_decoder(tmp_path: Path) -> None:
    data = pydicom.encaps.encapsulate([b"\0" * 40])
    with refuses("E-DATA-033", match=r"no decoder for JPEG-LS Lossless"):
        one(tmp_path, CT, **GREY12, syntax=pydicom.uid.JPEGLSLossless, PixelData=data)


def test_without_pydicom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dicom(tmp_path / "a" / "0.dcm", CT, **GREY12)
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with refuses("E-EXTRA-001", match="extra `dicom`"):
        load_images(str(tmp_path))


def test_files_with_other_windows_are_all_named_in_words(tmp_path: Path) -> None:
    dicom(tmp_path / "a" / "0.dcm", CT, **GREY12)
    dicom(tmp_path / "a" / "1.dcm", CT, **GREY12, WindowCenter=40, WindowWidth=400)
    assert [step.split(",")[1] for step in load_images(str(tmp_path)).preprocessing] == [
        " the whole range of the stored bits",
        " each file's own first window",
    ]
    dicom(tmp_path / "a" / "2.dcm", RGB[..., 0])
    with refuses("E-DATA-117", match=r"2\.dcm: .* 8 bits per value, but the first, .*0\.dcm, has 12"):
        load_images(str(tmp_path))


def test_patients_are_groups_under_pseudonyms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i, patient in enumerate(["A1", "B2", " A1 "]):
        dicom(tmp_path / "a" / f"{i}.dcm", CT, **GREY12 | {"PatientID": patient})
    groups = load_images(str(tmp_path)).groups
    assert groups is not None
    assert groups[0] == groups[2] != groups[1]
    assert all(len(group) == 16 and int(group, 16) >= 0 for group in groups)
    monkeypatch.setenv("SMOOTHCERT_SALT", "another secret for tests")
    assert not set(groups) & set(load_images(str(tmp_path)).groups or ())
    dicom(tmp_path / "a" / "3.dcm", CT, **GREY12 | {"PatientID": ""})
    with refuses("E-DATA-039", match="3 files have a Patient ID and 1 do not"):
        load_images(str(tmp_path))


def test_no_patient_no_group(tmp_path: Path) -> None:
    assert one(tmp_path, CT, **GREY12 | {"PatientID": ""}).groups is None


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_changed_bytes_never_raise_anything_else_or_tell_the_patient(tmp_path: Path, data: st.DataObject) -> None:
    path = dicom(tmp_path / "a" / "0.dcm", CT, **GREY12)
    whole = bytearray(path.read_bytes())
    for _ in range(4):
        whole[data.draw(st.integers(132, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(whole[: data.draw(st.integers(132, len(whole)))]))
    said = message_or_groups(tmp_path)
    assert "Doe" not in said
    assert "12345" not in said


def message_or_groups(folder: Path) -> str:
    try:
        return str(load_images(str(folder)).groups)
    except DataError as error:
        return str(error)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SMOOTHCERT_SALT")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "smoothcert" / "salt"


def test_the_salt_is_made_once_and_for_its_owner_alone(home: Path) -> None:
    first = pseudonym("A1")
    assert len(home.read_bytes()) == 32
    assert stat.S_IMODE(home.stat().st_mode) == 0o600
    assert pseudonym("A1") == first
    assert [each.name for each in home.parent.iterdir()] == ["salt"]


def test_a_salt_that_cannot_be_trusted_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.parent.mkdir(parents=True)
    home.write_bytes(b"short")
    home.chmod(0o600)
    with refuses("E-DATA-024", match="32 random bytes, got 5"):
        pseudonym("A1")
    home.write_bytes(os.urandom(32))
    home.chmod(0o644)
    with refuses("E-DATA-025", match=r"can read the salt.*chmod 600"):
        pseudonym("A1")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    with refuses("E-DATA-023", match=r"cannot be stored there .*set SMOOTHCERT_SALT to at least 16"):
        pseudonym("A1")
    monkeypatch.setenv("SMOOTHCERT_SALT", "short")
    with refuses("E-DATA-022", match="SMOOTHCERT_SALT must have at least 16 characters, got 5"):
        pseudonym("A1")
