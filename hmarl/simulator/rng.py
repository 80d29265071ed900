"""Random numbers as pure functions of a counter.

Philox4x32-10: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). The key is made
of the seed and the split, the counter of (replication, day, place, stream): a draw depends on nothing else.
"""

from __future__ import annotations

import hashlib
import math
from typing import Literal

import numpy as np
from numba import njit, uint32, uint64

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

_CENTRE = 0.425
_LEAST_UNIFORM = 0.5 / 2.0**53

# numpy's integers: for Python's numba compiles `uniform` anew for each stream
DEMAND, LEAD_TIME, ORDER_LOSS, SHIPMENT_LOSS, RELIABILITY, SPIKE, BLOCK = (np.int64(stream) for stream in range(7))


def make_key(seed: int, split: str) -> tuple[int, int]:
    """The two 32-bit words that key all draws of a seed and a split."""
    if split not in SPLITS:
        raise ValueError(f"split: {split!r}: one of {', '.join(SPLITS)}")
    digest = hashlib.blake2b(f"{int(seed)}/{split}".encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")


@njit(error_model="numpy", forceinline=True)
def philox(c0, c1, c2, c3, k0, k1):
    """Four 32-bit words for a 128-bit counter and a 64-bit key."""
    mask = uint64(0xFFFFFFFF)
    x0, x1, x2, x3 = uint64(c0) & mask, uint64(c1) & mask, uint64(c2) & mask, uint64(c3) & mask
    k0, k1 = uint64(k0), uint64(k1)
    for _ in range(10):
        p0 = uint64(0xD2511F53) * x0
        p1 = uint64(0xCD9E8D57) * x2
        x0, x1, x2, x3 = (p1 >> uint64(32)) ^ x1 ^ k0, p1 & mask, (p0 >> uint64(32)) ^ x3 ^ k1, p0 & mask
        k0 = (k0 + uint64(0x9E3779B9)) & mask
        k1 = (k1 + uint64(0xBB67AE85)) & mask
    return uint32(x0), uint32(x1), uint32(x2), uint32(x3)


@njit(error_model="numpy")
def uniform(k0, k1, replication, day, place, stream):
    """A double strictly between 0 and 1."""
    x0, x1, _, _ = philox(replication, day, place, stream, k0, k1)
    return _of_words(x0, x1)


@njit(error_model="numpy", forceinline=True)
def _of_words(x0, x1):
    return ((uint64(x0) >> uint64(6)) * 134217728.0 + (uint64(x1) >> uint64(5)) + 0.5) / 9007199254740992.0


@njit(error_model="numpy")
def uniforms(k0, k1, replications, days, place, stream, out):
    """Fill a row with :func:`uniform` of each replication and its day."""
    for i in range(len(out)):
        x0, x1, _, _ = philox(replications[i], days[i], place, stream, k0, k1)
        out[i] = _of_words(x0, x1)


@njit(error_model="numpy")
def normal_quantile(u):
    """Inverse of the standard normal distribution: Wichura's AS 241, relative accuracy 1e-16."""
    q = u - 0.5
    return _central_quantile(q) if abs(q) <= _CENTRE else _tail_quantile(u, q)


@njit(error_model="numpy")
def normal_quantiles(row, scratch):
    """Put each number's :func:`normal_quantile` in its place; `scratch` is a row as long."""
    for i in range(len(row)):  # without a branch, so that several are worked out at once
        scratch[i] = _central_quantile(row[i] - 0.5)
    for i in range(len(row)):
        q = row[i] - 0.5
        row[i] = scratch[i] if abs(q) <= _CENTRE else _tail_quantile(row[i], q)


@njit(error_model="numpy", forceinline=True)
def _central_quantile(q):
    r = 0.180625 - q * q
    num = ((((((2.5090809287301226727e3 * r + 3.3430575583588128105e4) * r + 6.7265770927008700853e4) * r
                  + 4.5921953931549871457e4) * r + 1.3731693765509461125e4) * r + 1.9715909503065514427e3) * r
               + 1.3314166789178437745e2) * r + 3.3871328727963666080e0  # fmt: skip
    den = ((((((5.2264952788528545610e3 * r + 2.8729085735721942674e4) * r + 3.9307895800092710610e4) * r
                  + 2.1213794301586595867e4) * r + 5.3941960214247511077e3) * r + 6.8718700749205790830e2) * r
               + 4.2313330701600911252e1) * r + 1.0  # fmt: skip
    return q * num / den


@njit(error_model="numpy")
def _tail_quantile(u, q):
    r = math.sqrt(-math.log(u if q < 0 else 1.0 - u))
    if r <= 5.0:
        r -= 1.6
        num = ((((((7.74545014278341407640e-4 * r + 2.27238449892691845833e-2) * r + 2.41780725177450611770e-1) * r
                  + 1.27045825245236838258e0) * r + 3.64784832476320460504e0) * r + 5.76949722146069140550e0) * r
               + 4.63033784615654529590e0) * r + 1.42343711074968357734e0  # fmt: skip
        den = ((((((1.05075007164441684324e-9 * r + 5.47593808499534494600e-4) * r + 1.51986665636164571966e-2) * r
                  + 1.48103976427480074590e-1) * r + 6.89767334985100004550e-1) * r + 1.67638483018380384940e0) * r
               + 2.05319162663775882187e0) * r + 1.0  # fmt: skip
    else:
        r -= 5.0
        num = ((((((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r + 1.24266094738807843860e-3) * r
                  + 2.65321895265761230930e-2) * r + 2.96560571828504891230e-1) * r + 1.78482653991729133580e0) * r
               + 5.46378491116411436990e0) * r + 6.65790464350110377720e0  # fmt: skip
        den = ((((((2.04426310338993978564e-15 * r + 1.42151175831644588870e-7) * r + 1.84631831751005468180e-5) * r
                  + 7.86869131145613259100e-4) * r + 1.48753612908506148525e-2) * r + 1.36929880922735805310e-1) * r
               + 5.99832206555887937690e-1) * r + 1.0  # fmt: skip
    return -num / den if q < 0 else num / den


@njit(error_model="numpy")
def poisson_quantile(u, mean, mode, pmf, cdf):
    """Inverse of the Poisson distribution, walking from the mode.

    `pmf` and `cdf` are the probability of the mode and of at most the mode.
    """
    k = mode
    if u <= cdf:
        while k > 0 and u <= cdf - pmf:
            cdf -= pmf
            pmf *= k / mean
            k -= 1
        return k
    while u > cdf and (pmf > 1e-300):
        k += 1
        pmf *= mean / k
        cdf += pmf
        if pmf < 1e-17 and k > mean:
            break
    return k


@njit(error_model="numpy")
def poisson_quantiles(row, mean, pmf, cdf, function, guide):
    """Put each number's :func:`poisson_quantile` in its place, the mean of all the same.

    `function` is scratch of more than 40 + 20 sqrt(mean) numbers: the distribution function as the walk from the mode
    adds it up. `guide` is scratch, too: for each of its equal parts of 0 to 1 the first quantile to try.
    """
    mode = int(mean)
    base = max(0, mode - len(function) // 2)  # function[k - base] is that of k
    lowest, term, total = mode, pmf, cdf
    function[mode - base] = cdf
    while lowest > 0 and total - term > _LEAST_UNIFORM:
        total -= term
        term *= lowest / mean
        lowest -= 1
        function[lowest - base] = total
    highest, term, total = mode, pmf, cdf
    while term >= 1e-17 or highest <= mean:
        highest += 1
        term *= mean / highest
        total += term
        function[highest - base] = total
    parts, k = len(guide), lowest
    for part in range(parts):
        while k < highest and function[k - base] * parts < part:
            k += 1
        guide[part] = k
    for i in range(len(row)):
        k = guide[min(int(row[i] * parts), parts - 1)]
        while k < highest and row[i] > function[k - base]:
            k += 1
        row[i] = k


@njit(cache=True, error_model="numpy")
def poisson_mode(mean):
    """The mode of a Poisson distribution, its probability and the probability of at most the mode."""
    mode = int(mean)
    pmf = math.exp(mode * math.log(mean) - mean - math.lgamma(mode + 1.0)) if mean > 0 else 1.0
    cdf, term = 0.0, pmf
    for k in range(mode, -1, -1):
        cdf += term
        if k > 0:
            term *= k / mean
    return mode, pmf, cdf


def poisson_mode_table(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probability of the mode and of at most the mode, for an array of means."""
    pmf, cdf = np.empty(means.size), np.empty(means.size)
    _fill_modes(means.ravel(), pmf, cdf)
    return pmf.reshape(means.shape), cdf.reshape(means.shape)


@njit(cache=True, error_model="numpy")
def _fill_modes(means, pmf, cdf):
    for i in range(len(means)):
        _, pmf[i], cdf[i] = poisson_mode(means[i])
