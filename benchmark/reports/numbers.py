"""How numbers are written in tables."""

MISSING = "–"


def p_value(p: float | None) -> str:
    """``.012``, ``<.001``, or ``1``."""
    if p is None:
        return MISSING
    return "<.001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 1 else "1"
