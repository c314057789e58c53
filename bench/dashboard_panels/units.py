"""Shows values in Grafana's units: `1.5 kB/s`, `20%`, `3 min`."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.errors import UsageError


@dataclass(frozen=True, slots=True)
class Measure:
    """A unit that fits some values: `factor` of the plain unit, and what follows the number."""

    factor: float
    suffix: str

    def show(self, number: float) -> str:
        """A number of it, with no more digits than there are, at most four."""
        return f"{number:.4g}{self.suffix}"


_DECIMAL = (("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12))
_COUNTS = [Measure(1.0, ""), Measure(1e3, " K"), Measure(1e6, " Mil"), Measure(1e9, " Bil")]
# From small to large; the first stands for what is smaller, too.
_MEASURES: dict[str, list[Measure]] = {
    "short": _COUNTS,
    "ops": [Measure(factor, f"{name} ops/s") for name, factor in _DECIMAL],
    "reqps": [Measure(factor, f"{name} req/s") for name, factor in _DECIMAL],
    "Bps": [Measure(factor, f" {name}B/s") for name, factor in _DECIMAL],
    "bytes": [
        Measure(1024.0**power, f" {name}B") for power, name in enumerate(("", "Ki", "Mi", "Gi"))
    ],
    "percentunit": [Measure(0.01, "%")],
    "s": [
        Measure(1e-6, " µs"),
        Measure(1e-3, " ms"),
        Measure(1.0, " s"),
        Measure(60.0, " min"),
        Measure(3600.0, " h"),
        Measure(86_400.0, " d"),
    ],
}
UNITS = tuple(_MEASURES)


def choose_measure(unit: str, highest: float) -> Measure:
    """The largest measure of `unit` of which `highest` is at least one; UsageError if unknown."""
    if unit not in _MEASURES:
        raise UsageError(f"expected a unit among {', '.join(UNITS)}, got {unit!r}")
    measures = _MEASURES[unit]
    fitting = [measure for measure in measures if measure.factor <= abs(highest)]
    if highest == 0:
        fitting = [measure for measure in measures if measure.factor <= 1]
    return fitting[-1] if fitting else measures[0]


def show_value(unit: str, value: float) -> str:
    """A value alone, rounded to three digits."""
    measure = choose_measure(unit, value)
    return measure.show(float(f"{value / measure.factor:.3g}"))
