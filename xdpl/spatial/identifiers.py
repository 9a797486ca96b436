"""Identifiers of basins and sites, without what only their storage adds."""

from __future__ import annotations

__all__ = ["identifier"]


def identifier(text: str) -> str:
    """The identifier without padding, marks of bytes, leading zeros and a decimal point.

    Parameters
    ----------
    text : str
        An identifier as it was stored.

    Examples
    --------
    >>> identifier("b'01013500'"), identifier("1013500.0"), identifier(" DE0007 ")
    ('1013500', '1013500', 'DE0007')
    """
    text = text.strip().strip("\0")
    if text[:2] in ("b'", 'b"') and text[-1] == text[1]:
        text = text[2:-1].strip()
    whole = text.removesuffix(".0")
    if whole.isascii() and whole.isdigit():
        return whole.lstrip("0") or "0"
    return text
