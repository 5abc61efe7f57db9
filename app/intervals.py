"""The interval of a share that was found in so many cases."""

from math import exp, lgamma, log, log1p, sqrt

Z_95 = 1.96


def wilson(share: float, count: float) -> tuple[float, float]:
    """Of 95 %; everything where there are no cases. Source: Wilson 1927."""
    if count <= 0:
        return 0.0, 1.0
    spread = Z_95 * sqrt(share * (1 - share) / count + Z_95**2 / (4 * count**2))
    middle, scale = share + Z_95**2 / (2 * count), 1 + Z_95**2 / count
    return (middle - spread) / scale, (middle + spread) / scale


def binomial_cdf(most: int, count: int, chance: float) -> float:
    """How likely at most so many of these cases are hits, where each is with this chance."""
    if chance <= 0 or most >= count:
        return 1.0
    if chance >= 1:
        return 0.0
    whole, hit, miss = lgamma(count + 1), log(chance), log1p(-chance)
    return min(
        1.0,
        sum(
            exp(whole - lgamma(k + 1) - lgamma(count - k + 1) + k * hit + (count - k) * miss)
            for k in range(most + 1)
        ),
    )


def upper_bound(hits: int, count: int, doubt: float) -> float:
    """Above what the true share is with a chance of `doubt` at most; exact.

    Source: Clopper and Pearson 1934, one-sided.
    """
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if binomial_cdf(hits, count, middle) > doubt else (low, middle)
    return high
