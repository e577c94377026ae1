"""Hostile images and tables: each is read, or refused with one short printable sentence."""

import importlib
import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from refusals import refuses
from smoothcert.data import DataOptions, ImageSet, load_images
from smoothcert.data.image_file import read_image, read_picture
from smoothcert.models import load_classifier

from .hostile import TOKENS, many, sentence, spoiled

RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
DEEP = np.random.default_rng(0).integers(0, 65536, (6, 8), dtype=np.uint16)
OPTIONS = (DataOptions(), DataOptions(resize=4, crop=4), DataOptions(quantise=12), DataOptions(window=(40.0, 400.0)))


def saved(array: np.ndarray, kind: str, **more: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind, **more)
    return file.getvalue()


def archive(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


FILES = {
    **{kind: saved(RGB, kind) for kind in ("PNG", "JPEG", "TIFF", "BMP")},
    **{f"grey {kind}": saved(RGB[..., 0].copy(), kind) for kind in ("PNG", "JPEG", "TIFF", "BMP")},
    **{f"TIFF {kind}": saved(RGB, "TIFF", compression=kind) for kind in ("tiff_lzw", "tiff_deflate", "jpeg")},
    "deep PNG": saved(DEEP, "PNG"),
    "deep TIFF": saved(DEEP, "TIFF"),
    "progressive": saved(RGB, "JPEG", progressive=True),
}
SET = archive(
    images=RGB[None].repeat(3, 0),
    labels=np.arange(3),
    class_names=np.array(["a", "b", "c"]),
    groups=np.array(["x", "y", "z"]),
    sex=np.array(["f", "m", "f"]),
)
MANIFEST = b"path,label,group,split,sex\n0.png,a,g0,val,f\n1.png,b,g1,val,m\n"


@pytest.mark.parametrize("kind", FILES)
@many
@given(data=st.data())
def test_images(tmp_path, kind, data):
    (tmp_path / "x.bin").write_bytes(data.draw(spoiled(FILES[kind])))
    sentence(read_picture, tmp_path / "x.bin", data.draw(st.sampled_from(OPTIONS)))
    sentence(read_image, tmp_path / "x.bin", (3, 6, 8), 255)


@pytest.mark.parametrize("syntax", ["ExplicitVRLittleEndian", "ImplicitVRLittleEndian", "RLELossless"])
@many
@given(data=st.data())
def test_dicom(tmp_path, monkeypatch, syntax, data):
    pytest.importorskip("pydicom", reason="needs the extra dicom")
    monkeypatch.setenv("SMOOTHCERT_SALT", "a salt for tests, not a secret")
    (tmp_path / "x.dcm").write_bytes(data.draw(spoiled(dicom(tmp_path, syntax))))
    sentence(read_picture, tmp_path / "x.dcm", data.draw(st.sampled_from(OPTIONS)))


def dicom(folder, syntax: str) -> bytes:
    """A small CT image with a window."""
    pydicom, uid = importlib.import_module("pydicom"), importlib.import_module("pydicom.uid")
    image = pydicom.Dataset()
    image.file_meta = pydicom.dataset.FileMetaDataset()
    image.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = uid.CTImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = "1.2.3"
    image.PatientID, image.PhotometricInterpretation = "Doe^Jane", "MONOCHROME2"
    image.Rows, image.Columns, image.SamplesPerPixel, image.PixelRepresentation = 6, 8, 1, 0
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    image.WindowCenter, image.WindowWidth, image.RescaleSlope, image.RescaleIntercept = [40, 50], [400, 20], 2, -1024
    image.PixelData = (DEEP >> 4).astype(np.uint16).tobytes()
    image["PixelData"].VR = "OW"
    if syntax == "RLELossless":
        image.compress(uid.RLELossless)
    elif syntax == "ImplicitVRLittleEndian":
        image.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian
    image.save_as(folder / "sound.dcm", enforce_file_format=True)
    return (folder / "sound.dcm").read_bytes()


@many
@given(data=st.data())
def test_archives(tmp_path, data):
    (tmp_path / "x.npz").write_bytes(data.draw(spoiled(SET)))
    sentence(load_images, f"{tmp_path}/x.npz", data.draw(st.sampled_from(OPTIONS)))
    sentence(load_images, f"{tmp_path}/x.npz", DataOptions(subgroups=("sex",)))


@many
@given(data=st.data(), packed=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]))
def test_hostile_arrays_in_a_sound_archive(tmp_path, data, packed):
    with zipfile.ZipFile(io.BytesIO(SET)) as sound:
        parts = {name: sound.read(name) for name in sound.namelist()}
    changed = data.draw(st.sampled_from(sorted(parts)))
    with zipfile.ZipFile(tmp_path / "x.npz", "w", packed) as archive_file:
        for name, body in parts.items():
            archive_file.writestr(name, data.draw(spoiled(body)) if name == changed else body)
    sentence(load_images, f"{tmp_path}/x.npz", DataOptions(subgroups=("sex",)))


@many
@given(data=st.data(), split=st.sampled_from(["", "#val"]))
def test_manifests(tmp_path, data, split):
    for name in ("0.png", "1.png"):
        (tmp_path / name).write_bytes(FILES["PNG"])
    (tmp_path / "x.csv").write_bytes(data.draw(spoiled(MANIFEST)))
    sentence(load_images, f"{tmp_path}/x.csv{split}", DataOptions(subgroups=data.draw(st.sampled_from([(), ("sex",)]))))


@many
@given(data=st.data())
def test_parquet_manifests(tmp_path, data):
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra report")
    parquet = importlib.import_module("pyarrow.parquet")
    columns = {"path": ["0.png", "1.png"], "label": ["a", "b"], "dose": [1, 2], "kind": [[1], [2]]}
    if data.draw(st.booleans()):
        del columns["kind"]
    parquet.write_table(pyarrow.table(columns), tmp_path / "x.parquet")
    (tmp_path / "x.parquet").write_bytes(data.draw(spoiled((tmp_path / "x.parquet").read_bytes())))
    sentence(load_images, f"{tmp_path}/x.parquet")


@pytest.mark.parametrize("token", [token for token in TOKENS if len(token) < 500], ids=repr)
def test_a_hostile_name_in_every_place_of_a_manifest(tmp_path, token):
    for row in (b"%s,a,g,val,f", b"0.png,%s,g,val,f", b"0.png,a,%s,val,f", b"0.png,a,g,%s,f", b"0.png,a,g,val,%s"):
        (tmp_path / "x.csv").write_bytes(b"path,label,group,split,sex\n" + row % token + b"\n1.png,b,g,val,m\n")
        sentence(load_images, f"{tmp_path}/x.csv", DataOptions(subgroups=("sex",)))


@pytest.mark.parametrize("field", ["class_names", "groups", "subgroups"])
def test_half_a_character_never_gets_into_a_run(field):
    """It comes from names of files that are not UTF-8; a spec.json that holds one cannot be read again."""
    values = ("a\udcff", "b")
    facts = {field: {"sex": values} if field == "subgroups" else values}
    with refuses("E-DATA-018"):
        ImageSet("toy", np.zeros((2, 4, 4, 1), np.uint8), np.array([0, 1]), **facts)


def test_half_a_character_in_what_is_named():
    assert "must be Unicode text" in (sentence(load_images, "set\udcff.npz") or "")
    assert "must be Unicode text" in (sentence(load_classifier, "net\udcff.onnx") or "")


def test_manifests_may_name_any_place_but_only_images_come_of_it(tmp_path):
    """As documented: the user's own list. What is no image is refused, and nothing of its content is told."""
    (tmp_path / "set").mkdir()
    (tmp_path / "0.png").write_bytes(FILES["PNG"])
    (tmp_path / "secret.txt").write_text("the secret")
    (tmp_path / "set" / "link.png").symlink_to(tmp_path / "0.png")
    for place in ("../0.png", f"{tmp_path}/0.png", "link.png"):
        (tmp_path / "set" / "x.csv").write_text(f"path,label\n{place},0\n")
        assert len(load_images(f"{tmp_path}/set/x.csv")) == 1
    for place in ("../secret.txt", "/etc/hostname", "/dev/zero", "/proc/self/mem", "/", "x.csv"):
        (tmp_path / "set" / "x.csv").write_text(f"path,label\n{place},0\n")
        message = sentence(load_images, f"{tmp_path}/set/x.csv") or ""
        assert "expected an image file" in message or "do not exist" in message or "cannot be read" in message, message
        assert "the secret" not in message
