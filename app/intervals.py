"""The interval of a share that was found in so many cases."""

from math import sqrt

Z_95 = 1.96


def wilson(share: float, count: float) -> tuple[float, float]:
    """Of 95 %; everything where there are no cases. Source: Wilson 1927."""
    if count <= 0:
        return 0.0, 1.0
    spread = Z_95 * sqrt(share * (1 - share) / count + Z_95**2 / (4 * count**2))
    middle, scale = share + Z_95**2 / (2 * count), 1 + Z_95**2 / count
    return (middle - spread) / scale, (middle + spread) / scale
