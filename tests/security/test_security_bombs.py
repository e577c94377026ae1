"""Small files that claim to be large are refused before memory is taken for what they claim."""

import gzip
import importlib
import io
import struct
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from refusals import refuses
from smoothcert.data import DataOptions, load_images
from smoothcert.data.image_file import read_picture
from smoothcert.evidence.ledger import read_ledger
from smoothcert.models import ModelOptions, load_classifier

from .hostile import sentence

MOST = 64 * 2**20
"""Bytes that refusing a file of kilobytes may take."""


def refused(call: Callable[..., object], *arguments: object) -> str:
    """The refusal of a bomb, which must not have taken much memory."""
    tracemalloc.start()
    try:
        told = sentence(call, *arguments)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
    assert told is not None
    return told


def archive(folder, **arrays: np.ndarray) -> str:
    np.savez_compressed(folder / "x.npz", **arrays)
    return f"{folder}/x.npz"


@pytest.mark.parametrize("name", ["groups", "sex", "class_names"])
def test_lists_of_another_length_never_become_texts(tmp_path, name):
    file = archive(
        tmp_path,
        images=np.zeros((1, 4, 4), np.uint8),
        labels=np.zeros(1, int),
        **{"sex": np.array(["f"]), name: np.zeros(20_000_000, "S1")},
    )
    assert "20,000,000" in refused(load_images, file, DataOptions(subgroups=("sex",)))


def npy(shape: tuple[int, ...], descr: str = "|u1") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": descr})
    return file.getvalue()


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("shape", [(2**40,), (2**30, 64, 64, 3), (0, 2**62), (2**20, 2**20, 2**20)])
def test_arrays_that_claim_more_than_they_hold(tmp_path, packed, shape):
    with zipfile.ZipFile(tmp_path / "x.npz", "w", packed) as file:
        file.writestr("images.npy", npy(shape) + b"\0" * 1000)
        file.writestr("labels.npy", npy((1,)) + b"\0")
    refused(load_images, f"{tmp_path}/x.npz")


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, more: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + more + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(8193, 8192), (2**31 - 1, 1), (2**31 - 1, 2**31 - 1)])
def test_pictures_that_claim_too_many_pixels(tmp_path, size, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # as other code in the process may have set it
    (tmp_path / "x.png").write_bytes(png(*size))
    assert "67,108,864" in refused(read_picture, tmp_path / "x.png", DataOptions())


def test_a_text_in_a_picture_that_unpacks_to_much(tmp_path):
    text = zlib.compress(bytes(2**28), 9)
    (tmp_path / "x.png").write_bytes(png(4, 4, chunk(b"zTXt", b"Comment\0\0" + text)))
    refused(read_picture, tmp_path / "x.png", DataOptions())


def test_a_tiff_of_very_many_pages(tmp_path):
    """They are not counted: each page refers to the next, and reading all of them takes minutes."""
    side, pages = 8, 100_001
    fields = [(256, side), (257, side), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, side), (279, side**2)]
    page = struct.pack("<H", len(fields)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields)
    first, size = 8 + side**2, len(page) + 4
    chain = b"".join(page + struct.pack("<I", first + size * n) for n in range(1, pages))
    start = b"II*\0" + struct.pack("<I", first) + bytes(side**2)
    (tmp_path / "x.tif").write_bytes(start + chain + page + bytes(4))
    began = time.process_time()
    assert "pages" in refused(read_picture, tmp_path / "x.tif", DataOptions())
    assert time.process_time() - began < 5


@pytest.mark.parametrize("kind", ["TIFF", "BMP"])
def test_other_pictures_that_claim_too_many_pixels(tmp_path, kind):
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 6), np.uint8)).save(file, kind)
    data = bytearray(file.getvalue())
    if kind == "BMP":
        data[18:26] = struct.pack("<ii", 100_000, 100_000)
    else:
        for tag in (256, 257):
            place = data.index(struct.pack("<HHI", tag, 4, 1)) + 8
            data[place : place + 4] = struct.pack("<I", 100_000)
    (tmp_path / "x.bin").write_bytes(bytes(data))
    refused(read_picture, tmp_path / "x.bin", DataOptions())


@pytest.mark.parametrize("kind", ["Deflated Explicit VR", "RLE"])
def test_dicom(tmp_path, monkeypatch, kind):
    pytest.importorskip("pydicom", reason="needs the extra dicom")
    from .test_security_images import dicom

    monkeypatch.setenv("SMOOTHCERT_SALT", "a salt for tests, not a secret")
    pydicom, uid = importlib.import_module("pydicom"), importlib.import_module("pydicom.uid")
    data = dicom(tmp_path, "RLELossless" if kind == "RLE" else "ExplicitVRLittleEndian")
    image = pydicom.dcmread(io.BytesIO(data))
    if kind == "RLE":
        image.Rows = image.Columns = 65535
    else:
        image.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
        image.PixelData = bytes(2**27)
    image.save_as(tmp_path / "x.dcm", enforce_file_format=True)
    assert (tmp_path / "x.dcm").stat().st_size < 200_000
    told = refused(read_picture, tmp_path / "x.dcm", DataOptions())
    assert "65,535 by 65,535" in told or "Deflated" in told


@pytest.mark.parametrize(("rows", "text"), [(5_000_001, "0.png"), (10_000, "0" * 50_000)])
def test_parquet(tmp_path, rows, text):
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra report")
    parquet = importlib.import_module("pyarrow.parquet")
    same = pyarrow.DictionaryArray.from_arrays(pyarrow.array(np.zeros(rows, np.int8)), pyarrow.array([text]))
    for coded in (same, same.cast("string") if rows * len(text) < 2**30 and rows < 2**20 else same):
        parquet.write_table(pyarrow.table({"path": coded, "label": coded}), tmp_path / "x.parquet")
        assert (tmp_path / "x.parquet").stat().st_size < 300_000
        assert "at most" in refused(load_images, f"{tmp_path}/x.parquet")


def test_a_packed_state_dict(tmp_path):
    file = io.BytesIO()
    torch.save({"head.weight": torch.zeros(2**24)}, file)
    with zipfile.ZipFile(file) as sound, zipfile.ZipFile(tmp_path / "x.pth", "w", zipfile.ZIP_DEFLATED) as packed:
        for part in sound.namelist():
            packed.writestr(part, sound.read(part))
    file.close()
    assert "declares 67," in refused(load_classifier, f"{tmp_path}/x.pth", ModelOptions(arch="resnet8"))


def test_a_name_that_would_keep_torch_busy_for_hours(tmp_path):
    """torch looks for words in its own complaint with a pattern whose time grows with the square of a name's length."""
    file = io.BytesIO()
    torch.save({"head.weight": torch.zeros(4, 3)}, file, _use_new_zipfile_serialization=False)
    data = file.getvalue().replace(b"ctorch._utils\n", b"ctorch._utils\n" + b"[" * 300_000, 1)
    (tmp_path / "x.pth").write_bytes(data)
    assert "damaged" in refused(load_classifier, f"{tmp_path}/x.pth", ModelOptions(arch="resnet8"))


@pytest.mark.parametrize("length", [2**31, 2**62, 2**64 - 1])
def test_heads_of_safetensors_with_absurd_sizes(tmp_path, length):
    (tmp_path / "x.safetensors").write_bytes(length.to_bytes(8, "little") + b'{"a":{}}')
    refused(load_classifier, f"{tmp_path}/x.safetensors")
    head = b'{"head.weight":{"dtype":"F32","shape":[%d,4],"data_offsets":[0,%d]}}' % (length, length)
    (tmp_path / "x.safetensors").write_bytes(len(head).to_bytes(8, "little") + head)
    refused(load_classifier, f"{tmp_path}/x.safetensors")


def test_weights_of_an_onnx_file_that_lie_elsewhere(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    from .test_security_models import network

    (tmp_path / "secret.bin").write_bytes(bytes(48 * 4 * 4))
    for place in ("secret.bin", "../secret.bin", f"{tmp_path}/secret.bin", "/dev/zero"):
        model = onnx.load_from_string(network())
        weights = model.graph.initializer[0]
        weights.ClearField("raw_data")
        weights.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", place), ("offset", "0"), ("length", str(48 * 4 * 4))):
            entry = weights.external_data.add()
            entry.key, entry.value = key, value
        (tmp_path / "x.onnx").write_bytes(model.SerializeToString())
        refused(load_classifier, f"{tmp_path}/x.onnx")


def test_a_packed_ledger_with_an_endless_line(tmp_path):
    with gzip.open(tmp_path / "local-0.jsonl.gz", "wb") as file:
        for _ in range(128):
            file.write(bytes(2**20))
    assert (tmp_path / "local-0.jsonl.gz").stat().st_size < 200_000
    with refuses("E-RUN-040", match="expected lines below 67,108,864 bytes"):
        read_ledger(tmp_path)
