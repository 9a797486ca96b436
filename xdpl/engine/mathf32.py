"""exp and log in float32 as polynomials, good to about one unit in the last place.

With AVX-512 the exponent is taken apart and put back by instructions that know about zero,
infinity, NaN and subnormal numbers; elsewhere by arithmetic on the bits.
"""

from __future__ import annotations

import math

from .folding import Value
from .graph import Graph, Operand

__all__ = ["expand_exp_log"]

# 2**n e**r with |r| <= ln(2) / 2: (e**r - 1 - r) / r**2, least relative error
_EXP = (0.49999993, 0.16666521, 0.04166839, 0.00836871, 0.00138146)
# (log(1 + f) - f + f**2 / 2) / f**3 on [-1/4, 1/2], least relative error
_LOG = (
    0.333334497915151,
    -0.2500009951158828,
    0.1999084054668151,
    -0.166471632923622,
    0.14478365791763895,
    -0.13162546473145384,
    0.10466074563142548,
    -0.04509511927562136,
)
# the first has 15 bits, so that its products with exponents are exact; both are positive, so
# that infinite exponents give no NaN
_LN2_HIGH, _LN2_LOW = 0.693145751953125, 1.428606765330187e-06
_ROUND = 12582912.0  # 1.5 * 2**23: adding it rounds to an integer


def expand_exp_log(graph: Graph, *, avx512: bool) -> Graph:
    """Return a graph without exp and log, for float32."""

    def rule(g: Graph, op: str, args: tuple[Value, ...]) -> Value | None:
        if op == "exp":
            return _exp(g, args[0], avx512)
        if op == "log":
            return _log_avx512(g, args[0]) if avx512 else _log(g, args[0])
        return None

    return graph.rewrite(rule)


def _fma(g: Graph, a: Operand, b: Operand, c: Operand) -> Value:
    return g.raw("fma", *(x if isinstance(x, Value) else g.constant(x) for x in (a, b, c)))


def _bits(g: Graph, value: int) -> Value:
    return g.raw("iconst", attr=value)


def _exp(g: Graph, x: Value, avx512: bool) -> Value:
    x = g("min", g("max", x, -104.0), 89.0)  # beyond, the result is 0 or infinite anyhow
    shifted = _fma(g, x, 1.0 / math.log(2.0), _ROUND)
    n = g.raw("sub", shifted, g.constant(_ROUND))
    r = _fma(g, n, -_LN2_HIGH, x)
    r = _fma(g, n, -_LN2_LOW, r)
    q = g.constant(_EXP[-1])
    for c in reversed(_EXP[:-1]):
        q = _fma(g, q, r, c)
    p = _fma(g, g.raw("mul", r, r), q, g.raw("add", r, g.constant(1.0)))
    if avx512:
        return g.raw("scalef", p, n)
    # in two steps, since 2**n alone may be subnormal or too large
    n_bits = g.raw("isub", g.raw("bits", shifted), _bits(g, _bits_of(_ROUND)))
    half = g.raw("isar", n_bits, _bits(g, 1))
    rest = g.raw("isub", n_bits, half)
    return g.raw("mul", g.raw("mul", p, _power_of_two(g, half)), _power_of_two(g, rest))


def _bits_of(value: float) -> int:
    import struct

    return int(struct.unpack("<i", struct.pack("<f", value))[0])


def _power_of_two(g: Graph, n: Value) -> Value:
    return g.raw("real_of_bits", g.raw("ishl", g.raw("iadd", n, _bits(g, 127)), _bits(g, 23)))


def _log_polynomial(g: Graph, f: Value, exponent: Value) -> Value:
    q = g.constant(_LOG[-1])
    for c in reversed(_LOG[:-1]):
        q = _fma(g, q, f, c)
    square = g.raw("mul", f, f)
    q = _fma(g, f, q, -0.5)
    low = _fma(g, exponent, _LN2_LOW, g.raw("mul", square, q))
    return _fma(g, exponent, _LN2_HIGH, g.raw("add", low, f))


def _log_avx512(g: Graph, x: Value) -> Value:
    # getmant gives a significand in [3/4, 3/2), and NaN for negative x; getexp the exponent
    exponent = g.raw("getexp", g.raw("mul", x, g.constant(4.0 / 3.0)))
    f = g.raw("sub", g.raw("getmant", x), g.constant(1.0))
    return _log_polynomial(g, f, exponent)


def _log(g: Graph, x: Value) -> Value:
    small = g("lt", x, 2.0**-126)
    scaled = g("where", small, g.raw("mul", x, g.constant(2.0**23)), x)
    bits = g.raw("bits", scaled)
    # significand in [3/4, 3/2): the exponent is that of x / 0.75, rounded down
    over = g.raw("isub", bits, _bits(g, _bits_of(0.75)))
    exponent_bits = g.raw("iand", over, _bits(g, -(2**23)))
    significand = g.raw("real_of_bits", g.raw("isub", bits, exponent_bits))
    exponent = _fma(g, g.raw("real_of_int", exponent_bits), 2.0**-23, g("where", small, -23.0, 0.0))
    f = g.raw("sub", significand, g.constant(1.0))
    result = _log_polynomial(g, f, exponent)
    result = g("where", g("lt", x, math.inf), result, x)  # infinity and NaN
    other = g("where", g("eq", x, 0.0), -math.inf, math.nan)
    return g("where", g("le", x, 0.0), other, result)
