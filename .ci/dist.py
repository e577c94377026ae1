"""Check what `make dist` built: what is in the sdist and the wheel, and that the wheel works where nothing else is.

python .ci/dist.py [dist]
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 3_000_000
"""Bytes that a built file may have."""
BESIDE = {
    *(".gitignore", "CHANGELOG.md", "CITATION.cff", "LICENSE", "PKG-INFO", "README.md", "SECURITY.md"),
    *("constraints.txt", "pyproject.toml"),
}
"""What the sdist holds besides the package."""
NEEDED = ("models/shipped/demo.safetensors", "report/memo/memo.typ", "report/html_report/report.html.j2", "py.typed")
RELATIVE = re.compile(r"\]\((?!https?:|#)[^)]*\)")
"""A link or picture that no package index can show."""
EXAMPLE = """
import torch
import smoothcert as sc

model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 4))
g = sc.SmoothedClassifier(model, sigma=0.5, num_classes=4).to("cpu")
x = torch.randint(0, 256, (5, 3, 8, 8)) / 255
p, c = g.predict(x, n=100), g.certify(x, radii=(0.25,), n_max=200)
print(isinstance(g, torch.nn.Module), *(tuple(each.shape) for each in (g(x), p.label, c.radius)))
"""


def main() -> None:
    """Check both files, then use the wheel; exit with a sentence at the first thing that is not as it should be."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist")
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    check_contents(sdist, wheel)
    check_metadata(wheel)
    use(wheel.resolve())


def check_contents(sdist: Path, wheel: Path) -> None:
    """Both hold the package as it lies in the checkout, and nothing large; the wheel was built from the sdist."""
    package = {path.relative_to(ROOT / "src").as_posix() for path in sources()}
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    expect(packed == {f"src/{name}" for name in package} | BESIDE, f"{sdist.name} holds other files than it should")
    installed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expect(installed == package, f"{wheel.name} holds other files than src: {sorted(installed ^ package)[:5]}")
    missing = [name for name in NEEDED if f"smoothcert/{name}" not in installed]
    expect(not missing, f"{wheel.name} lacks {missing}")
    for path in (sdist, wheel):
        size = path.stat().st_size
        expect(size <= LARGEST, f"{path.name} has {size:,} bytes")
        print(f"{path.name}: {size:,} bytes, {len(package)} files of the package")


def sources() -> list[Path]:
    """Every file of the package except what Python and numba cached."""
    files = (path for path in (ROOT / "src" / "smoothcert").rglob("*") if path.is_file())
    return [path for path in files if "__pycache__" not in path.parts]


def check_metadata(wheel: Path) -> None:
    """One version everywhere, and a description without links that lead nowhere."""
    archive = zipfile.ZipFile(wheel)
    metadata = message_from_bytes(
        archive.read(next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA")))
    )
    version, told = metadata["Version"], str(metadata.get_payload())
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.M)
    expect(cited is not None and cited[1] == version, f"CITATION.cff does not name version {version}")
    expect(f"## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), f"CHANGELOG.md lacks {version}")
    dead = RELATIVE.findall(told)
    expect(not dead, f"the description links to files of the repository: {dead[:3]}")


def use(wheel: Path) -> None:
    """Install the wheel into a fresh environment and use it outside the checkout."""
    with tempfile.TemporaryDirectory() as place:
        home = Path(place, "fresh")
        venv.create(home, with_pip=True)
        programs = home / ("Scripts" if os.name == "nt" else "bin")
        python = str(programs / "python")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        pinned = ["--constraint", str(ROOT / "constraints.txt")]
        for words in (
            [*pip, *pinned, "torch"],
            [*pip, *pinned, str(wheel)],
            [python, "-m", "pip", "check"],
            [str(programs / "smoothcert"), "--version"],
            [python, "-m", "smoothcert", "--help"],
        ):
            run(words, Path(place))
        told = run([python, "-c", EXAMPLE], Path(place))
        expect(told == "True (5, 4) (5,) (5,)", f"the example printed {told!r}")


def run(words: list[str], folder: Path) -> str:
    """Run a command without what leads Python to the checkout; print and return the last line of what it prints."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(words, cwd=folder, env=others, text=True, capture_output=True)
    shown = " ".join(Path(word).name if os.sep in word else word for word in words if "\n" not in word)
    expect(done.returncode == 0, f"{shown} failed:\n{done.stdout[-1500:]}{done.stderr[-3000:]}")
    told = (done.stdout.splitlines() or ["done"])[-1].strip()
    print(f"{shown}: {told}", flush=True)
    return told


def expect(held: bool, trouble: str) -> None:
    """Exit with a sentence where something does not hold."""
    if not held:
        sys.exit(f"dist: {trouble}.")


if __name__ == "__main__":
    main()
