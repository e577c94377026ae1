"""Arrays of a NumPy archive, read without running code or filling the memory."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from smoothcert.data.checks import memory_limit
from smoothcert.errors import DataError

MAX_RATIO = 400
"""Above this compression an array of more than a GiB is taken for a decompression bomb."""

Array = npt.NDArray[Any]


def read_arrays(path: Path, choose: Callable[[set[str]], dict[str, str]]) -> dict[str, Array]:
    """Some arrays of a ``.npz`` archive.

    Args:
        path: the archive.
        choose: from the names of all arrays to those wanted, each by the name to return it under.

    Raises:
        DataError: the file is missing or damaged, or an array holds objects or claims a size that cannot be.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder, not a .npz archive; end its name with / if it holds a folder a class.")
    if not path.is_file():
        raise DataError(f"{path}: no such file; give the path of a .npz archive.")
    try:
        with zipfile.ZipFile(path) as archive:
            keys = choose({name.removesuffix(".npy") for name in archive.namelist()})
            return {name: _read_member(path, archive, key) for name, key in keys.items()}
    except DataError:
        raise
    except Exception as error:  # damaged bytes make zipfile, zlib and numpy raise nearly anything
        raise DataError(
            f"{path}: a readable .npz archive is expected, but it is damaged or something else "
            f"({type(error).__name__}); save it again with numpy.savez."
        ) from error


def _read_member(path: Path, archive: zipfile.ZipFile, key: str) -> npt.NDArray[Any]:
    info = archive.getinfo(f"{key}.npy")
    with archive.open(info) as member:
        _check_header(path, key, member, info)
    with archive.open(info) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _check_header(path: Path, key: str, member: IO[bytes], info: zipfile.ZipInfo) -> None:
    """Refuse before a byte of the array is read what would execute code or fill the memory."""
    version = np.lib.format.read_magic(member)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(member)
    if dtype.hasobject:
        raise DataError(
            f"{path}: {key} holds Python objects, which only unpickling can read and which could run code; "
            "save plain numbers and strings."
        )
    size = int(np.prod([int(side) for side in shape], dtype=object)) * dtype.itemsize
    bomb = size > 2**30 and size > MAX_RATIO * max(info.compress_size, 1)
    if size > memory_limit() or size > info.file_size or bomb:
        raise DataError(
            f"{path}: {key} claims {size:,} bytes, but the archive holds {info.file_size:,} "
            f"({info.compress_size:,} compressed) and {memory_limit():,} fit here; it is damaged or too large."
        )
