"""Image files are read exactly as stored, or raise an error of one sentence; nothing is resized or converted."""

import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from refusals import refuses
from smoothcert.data import ImageSet
from smoothcert.data.image_file import image_files, pixels_sha256, read_image
from smoothcert.errors import DataError, printable

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
GREY = RGB[..., 0].copy()
DEEP = RNG.integers(0, 65536, (6, 8), dtype=np.uint16)
TWELVE = (DEEP >> 4).astype(np.uint16)
COLOUR, ONE = (3, 6, 8), (1, 6, 8)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, bits, colour, rows):
    """A PNG by hand, for kinds that Pillow does not write."""
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(array, photometric=1, sample_format=1):
    """An uncompressed TIFF by hand."""
    samples = 1 if array.ndim == 2 else array.shape[2]
    bits, data = array.dtype.itemsize * 8, array.tobytes()
    wide = struct.pack("<HHH", bits, bits, bits)
    place = 8 + 2 + 12 * 10 + 4
    tags = [
        (256, 3, 1, array.shape[1]),
        (257, 3, 1, array.shape[0]),
        (258, 3, samples, place if samples == 3 else bits),
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
        (273, 4, 1, place + len(wide)),
        (277, 3, 1, samples),
        (278, 3, 1, array.shape[0]),
        (279, 4, 1, len(data)),
        (339, 3, 1, sample_format),
    ]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0) + wide + data


@pytest.mark.parametrize("ending", ["png", "tif", "TIFF", "bmp"])
@pytest.mark.parametrize(("array", "shape"), [(RGB, COLOUR), (GREY, ONE)], ids=["colour", "grey"])
def test_lossless_files_come_back_as_they_were(tmp_path, ending, array, shape):
    Image.fromarray(array).save(tmp_path / f"a.{ending}")
    found = read_image(tmp_path / f"a.{ending}", shape, 255)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, array.reshape(6, 8, -1).transpose(2, 0, 1))


@pytest.mark.parametrize(("array", "levels"), [(DEEP, 65535), (TWELVE, 4095), (DEEP.astype(">u2"), 65535)])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_deep_grey_comes_back_as_it_was(tmp_path, array, levels, ending):
    Image.fromarray(array).save(tmp_path / f"a.{ending}")
    found = read_image(tmp_path / f"a.{ending}", ONE, levels)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found[0], array)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_is_what_its_decoder_says(tmp_path, mode):
    Image.fromarray(RGB).convert(mode).save(tmp_path / "a.jpg")
    found = read_image(tmp_path / "a.jpg", COLOUR if mode == "RGB" else ONE, 255)
    with Image.open(tmp_path / "a.jpg") as image:
        np.testing.assert_array_equal(found, np.asarray(image).reshape(6, 8, -1).transpose(2, 0, 1))


@pytest.mark.parametrize("ending", ["png", "bmp"])
def test_a_palette_is_looked_up(tmp_path, ending):
    image = Image.fromarray(RGB).quantize(7)
    image.save(tmp_path / f"a.{ending}")
    found = read_image(tmp_path / f"a.{ending}", COLOUR, 255)
    np.testing.assert_array_equal(found, np.asarray(image.convert("RGB")).transpose(2, 0, 1))


def turned(path):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(RGB).save(path, exif=exif)


def animated(path):
    Image.fromarray(RGB).save(path, save_all=True, append_images=[Image.fromarray(255 - RGB)])


def raw(data):
    return lambda path: path.write_bytes(data)


def saved(array, mode=None, **how):
    image = Image.fromarray(array) if mode is None else Image.fromarray(array).convert(mode)
    return lambda path: image.save(path, **how)


BIG = (65535 - DEEP[..., None] // np.array([1, 2, 3], dtype=np.uint16)).astype(np.uint16)
BIG_PNG = png(8, 6, 16, 2, b"".join(b"\0" + row.astype(">u2").tobytes() for row in BIG))
REFUSED = {
    "another size": ("a.png", saved(RGB[:5]), COLOUR, 255, "takes images 8 pixels wide and 6 high, got 8 by 5"),
    "turned size": ("a.png", saved(RGB.transpose(1, 0, 2)), COLOUR, 255, "got 6 by 8"),
    "grey for colour": ("a.png", saved(GREY), COLOUR, 255, r"takes colour \(RGB\) images, got grey"),
    "colour for grey": ("a.png", saved(RGB), ONE, 255, r"takes grey images, got colour \(RGB\)"),
    "palette for grey": ("a.png", lambda p: Image.fromarray(RGB).quantize(4).save(p), ONE, 255, "got colour"),
    "alpha": ("a.png", saved(np.dstack([RGB, GREY])), COLOUR, 255, "transparency"),
    "grey alpha": ("a.png", saved(GREY, "LA"), ONE, 255, "transparency"),
    "alpha in a TIFF": ("a.tif", saved(np.dstack([RGB, GREY])), COLOUR, 255, "transparency"),
    "a transparent colour": ("a.png", saved(RGB, transparency=(1, 2, 3)), COLOUR, 255, "transparency"),
    "CMYK": ("a.jpg", saved(RGB, "CMYK"), COLOUR, 255, "grey or RGB values, got CMYK"),
    "16 bits for 8": ("a.png", saved(DEEP), ONE, 255, "takes 8-bit images, got 16 bits"),
    "16-bit TIFF for 8": ("a.tif", saved(DEEP), ONE, 255, "takes 8-bit images, got 16 bits"),
    "8 bits for 16": ("a.png", saved(GREY), ONE, 65535, "takes 16-bit images, got 8 bits"),
    "8 bits for 12": ("a.tif", saved(GREY), ONE, 4095, "takes 12-bit images, got 8 bits"),
    "above 12 bits": ("a.png", saved(DEEP), ONE, 4095, r"values up to 4095 \(12 bits\), got \d{5}"),
    "1 bit": ("a.png", saved(GREY, "1"), ONE, 255, "got 1 bit per value"),
    "4 bits": ("a.png", raw(png(8, 6, 4, 0, b"\0abcd" * 6)), ONE, 255, "got 4 bits per value"),
    "15 bits": (
        "a.bmp",
        raw(b"BM" + struct.pack("<IIIIiiHHIIiiII", 150, 0, 54, 40, 8, 6, 1, 16, 0, 96, 0, 0, 0, 0) + bytes(96)),
        COLOUR,
        255,
        "got 5 bits per value",
    ),
    "palette for 16": (
        "a.png",
        lambda p: Image.fromarray(RGB).quantize(4).save(p),
        COLOUR,
        65535,
        "a palette of 8-bit",
    ),
    "palette TIFF": ("a.tif", lambda p: Image.fromarray(RGB).quantize(4).save(p), COLOUR, 255, "palette of 16-bit"),
    "16-bit colour for 8": ("a.png", raw(BIG_PNG), COLOUR, 255, "takes 8-bit images, got 16 bits"),
    "16-bit colour": ("a.png", raw(BIG_PNG), COLOUR, 65535, "more than 8 bits per value"),
    "16-bit colour TIFF": ("a.tif", raw(tiff(BIG, 2)), COLOUR, 255, "takes 8-bit images, got 16 bits"),
    "signed": ("a.tif", raw(tiff(DEEP, sample_format=2)), ONE, 65535, "unsigned integers"),
    "floats": ("a.tif", saved(GREY.astype(np.float32)), ONE, 255, "unsigned integers"),
    "32 bits": ("a.tif", saved(GREY.astype(np.int32)), ONE, 65535, "unsigned integers"),
    "white is 0": ("a.tif", raw(tiff(GREY, photometric=0)), ONE, 255, "stores white as 0"),
    "turned PNG": ("a.png", turned, COLOUR, 255, r"EXIF orientation 6"),
    "turned JPEG": ("a.jpg", turned, COLOUR, 255, "EXIF orientation"),
    "turned TIFF": ("a.tif", turned, COLOUR, 255, "EXIF orientation"),
    "animated": ("a.png", animated, COLOUR, 255, "one image per file, got several frames"),
    "pages": ("a.tif", animated, COLOUR, 255, "one image per file"),
    "text": ("a.png", raw(b"hello"), COLOUR, 255, "expected an image file"),
    "empty": ("a.png", raw(b""), COLOUR, 255, "expected an image file"),
    "GIF": ("a.gif", saved(RGB), COLOUR, 255, r"expected an image file \(PNG, JPEG, TIFF, BMP\)"),
    "a bomb": ("a.png", raw(png(60000, 60000, 8, 2, b"")), COLOUR, 255, "too many pixels"),
    "half a bomb": ("a.png", raw(png(10000, 10000, 8, 2, b"")), COLOUR, 255, "10,000 by 10,000 pixels"),
    "large": ("a.png", raw(png(8000, 8000, 8, 2, b"")), COLOUR, 255, "got 8000 by 8000"),
    "no pixels": ("a.png", raw(png(8, 6, 8, 2, b"")), COLOUR, 255, "damaged or cut short"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_in_one_sentence(tmp_path, case):
    name, write, shape, levels, sentence = REFUSED[case]
    write(tmp_path / name)
    with pytest.raises(DataError, match=sentence) as refused:
        read_image(tmp_path / name, shape, levels)
    said = str(refused.value)
    assert said.startswith(f"{tmp_path / name}: ")
    assert "\n" not in said
    assert said.endswith(".")


def test_different_causes_have_different_codes(tmp_path):
    codes = {}
    for case in ("large", "no pixels", next(case for case, each in REFUSED.items() if "grey" in each[4])):
        name, write, shape, levels, _ = REFUSED[case]
        write(tmp_path / name)
        with pytest.raises(DataError) as refused:
            read_image(tmp_path / name, shape, levels)
        codes[refused.value.code] = case
    assert len(codes) == 3


def test_files_made_by_hand_are_sound(tmp_path):
    """The hand-made writers above write what readers accept: their refusals are not about damage."""
    (tmp_path / "a.tif").write_bytes(tiff(GREY))
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", ONE, 255)[0], GREY)
    (tmp_path / "b.tif").write_bytes(tiff(RGB, 2))
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif", COLOUR, 255), RGB.transpose(2, 0, 1))
    (tmp_path / "c.png").write_bytes(png(8, 6, 8, 2, b"".join(b"\0" + row.tobytes() for row in RGB)))
    np.testing.assert_array_equal(read_image(tmp_path / "c.png", COLOUR, 255), RGB.transpose(2, 0, 1))


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "bmp"])
def test_a_cut_file_is_refused_even_if_other_code_allows_it(tmp_path, ending, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    Image.fromarray(RGB).save(tmp_path / f"a.{ending}")
    whole = (tmp_path / f"a.{ending}").read_bytes()
    for length in range(0, len(whole) - 12, len(whole) // 15):  # the last 12 bytes of a PNG hold no pixel
        (tmp_path / f"a.{ending}").write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"damaged|not an image"):
            read_image(tmp_path / f"a.{ending}", COLOUR, 255)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_changed_bit_of_a_png_goes_unseen(tmp_path, data):
    """Apart from its empty last chunk, 12 bytes."""
    Image.fromarray(RGB).save(tmp_path / "a.png")
    whole = bytearray((tmp_path / "a.png").read_bytes())
    whole[data.draw(st.integers(0, len(whole) - 13))] ^= 1 << data.draw(st.integers(0, 7))
    (tmp_path / "a.png").write_bytes(bytes(whole))
    with pytest.raises(DataError):
        read_image(tmp_path / "a.png", COLOUR, 255)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from(["jpg", "tif", "bmp"]))
def test_changed_bytes_never_raise_anything_else(tmp_path, data, ending):
    Image.fromarray(RGB).save(tmp_path / f"a.{ending}")
    whole = bytearray((tmp_path / f"a.{ending}").read_bytes())
    for _ in range(3):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / f"a.{ending}").write_bytes(bytes(whole))
    try:
        found = read_image(tmp_path / f"a.{ending}", COLOUR, 255)
    except DataError:
        return
    assert (found.shape, found.dtype) == (COLOUR, np.uint8)


def test_a_missing_or_unreadable_file_is_named(tmp_path):
    with refuses("E-DATA-050", match=r"none\.png: the file cannot be read \(No such file"):
        read_image(tmp_path / "none.png", COLOUR, 255)
    with refuses("E-DATA-050", match="the file cannot be read"):
        read_image(tmp_path, COLOUR, 255)


def test_folders_are_searched_in_sorted_order(tmp_path):
    names = ["b/2.png", "b/10.PNG", "a/z.jpg", "a/deep/er/x.bmp", "c.tiff", "c.jpeg", "d/e.tif"]
    others = ["notes.txt", "a/.hidden.png", ".git/x.png", "b/Thumbs.db", "d/e.tif.part"]
    for name in names + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    found = list(image_files([tmp_path]))
    assert found == sorted(tmp_path / name for name in names)
    assert list(image_files([tmp_path / "b", tmp_path / "a" / ".hidden.png"])) == [
        tmp_path / "b/10.PNG",
        tmp_path / "b/2.png",
        tmp_path / "a/.hidden.png",
    ]


def test_folders_are_read_one_by_one(tmp_path):
    """Nothing is collected before it is asked for: the second folder may appear while the first is worked on."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").touch()
    found = image_files([tmp_path / "a", tmp_path / "b"])
    assert next(found) == tmp_path / "a" / "1.png"
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2.png").touch()
    assert list(found) == [tmp_path / "b" / "2.png"]


@pytest.mark.parametrize("array", [GREY, RGB, DEEP])
def test_the_hash_of_an_image_is_the_ledgers(array):
    images = array.reshape(1, 6, 8, -1)
    pixels = images[0].transpose(2, 0, 1)
    levels = 255 if array.dtype == np.uint8 else 65535
    wanted = ImageSet("x", images, np.array([0]), levels=levels).image_sha256(0)
    assert pixels_sha256(pixels) == pixels_sha256(pixels.astype(pixels.dtype.newbyteorder(">"))) == wanted


def test_paths_without_images_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    os.mkfifo(tmp_path / "pipe.png")
    with refuses("E-DATA-054"):
        list(image_files([tmp_path / "empty"]))
    for name in ("none", "none.png", "pipe.png"):
        with refuses("E-DATA-053", match=f"{name}: no such image file or folder"):
            list(image_files([tmp_path / name]))


@given(st.text())
def test_printable_text_is_printable_and_on_one_line(text):
    said = printable(text)
    assert said.isprintable()
    assert printable(said) == said
    assert all(c in said for c in text if c.isprintable())
