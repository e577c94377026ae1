"""Forecasts made by hand."""

from smoothcert.evidence.forecast import settings_of
from smoothcert.formats.plan import EntryForecast, Estimate, Forecast, LevelForecast, Pilot, Rate


def a_forecast(spec, unclear=(), beyond=(), share=0.6, samples=(200.0, 150.0, 300.0)):
    """A forecast of a run: every cell alike, some beyond the pilot's length, some beyond reach; radii by value."""
    request = spec.request
    rates = (Rate("fp32", 50.0, 100.0, 200.0), Rate("bf16", 90.0, 190.0, 300.0, 0.5))
    mean = Estimate(*samples)
    entries = []
    for sigma in request.sigma:
        for k in request.k:
            for r in request.radius:
                estimate = None if r in beyond else Estimate(None if r in unclear else share, share - 0.3, share + 0.3)
                needed = None if r in beyond else 0.999 if r in unclear else 0.8
                limit = r - 0.01 if r in beyond else 2 * r
                entries.append(EntryForecast(float(sigma), k, r, limit, needed, estimate, estimate))
    return Forecast(
        settings=settings_of(spec),
        images=spec.data.images,
        stopping=request.stopping,
        pilot=Pilot(images=3, copies=100, drawn=300, seconds=1.5, device="cpu", precision="fp32", batch=512),
        cells=tuple(entries),
        levels=tuple(
            LevelForecast(
                float(sigma), mean, 180.0, Estimate(300.0, 300.0, 300.0), 300.0, ((180, 0.7), (300, 0.3)), rates
            )
            for sigma in request.sigma
        ),
    )
