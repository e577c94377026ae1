"""`smoothcert demo`: the main job on drawn images and a small shipped classifier."""

from __future__ import annotations

from pathlib import Path

NEXT = r"""
These were synthetic images and a demonstration classifier. For your own:

  smoothcert train   --data images.npz#train --sigma 0.25 \
                     --out weights/r20_0.25.safetensors
  smoothcert certify --model "weights/r20_{sigma}.safetensors" \
                     --data images.npz#val --sigma 0.25 --out RUN
  smoothcert report  RUN
"""


def demo(*, out: Path = Path("smoothcert-demo"), images: int = 300, n_max: int = 5000) -> int:
    """Certify synthetic images with a small shipped classifier: no data or model needed, about two minutes.

    Args:
        out: Run directory to create. A run is never overwritten.
        images: Number of synthetic images.
        n_max: Noisy copies an image at most.
    """
    from smoothcert.spec import make_request

    request = make_request(model="demo", data=f"synthetic:{images}", n_max=n_max)  # refused before torch is loaded

    from smoothcert.cli.sampling import certify_and_report

    code = certify_and_report(request, out)
    if code == 0:
        _documents(out)
        print(NEXT.rstrip())
    return code


def _documents(out: Path) -> None:
    from smoothcert.cli.documents import write_with_progress
    from smoothcert.cli.terminal import tell
    from smoothcert.errors import MissingExtraError

    try:
        write_with_progress(out)
    except MissingExtraError as error:
        tell(f"No documents were written: {error}")
