"""How numbers are written in tables."""

MISSING = "–"


def decimal(value: float | None, unit: str = "", sign: bool = False) -> str:
    """One decimal: ``12.3``, ``12.3%``, ``+12.3``."""
    return MISSING if value is None else f"{value:{'+' if sign else ''}.1f}{unit}"


def p_value(p: float | None) -> str:
    """``.012``, ``<.001``, or ``1``."""
    if p is None:
        return MISSING
    return "<.001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 1 else "1"
