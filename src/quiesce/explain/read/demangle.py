# SPDX-License-Identifier: Apache-2.0
"""Names of Rust functions in stacks: the path instead of the mangled symbol, without generic arguments.

Both manglings are read: legacy (``_ZN...17h<hash>E``) and v0 (``_RNv...``, RFC 2603). Of an impl the type
is named and the trait is left out: ``<rnull::Queue as kernel::Operations>::commit`` is
``rnull::Queue::commit``. What is not understood stays as it is.
"""

from __future__ import annotations

import re
from functools import lru_cache

_LEGACY = re.compile(r"_ZN(?P<parts>(?:\d{1,3}[\w.$]+)+?)E(?:\..*)?$")
_HASH = re.compile(r"h[0-9a-f]{16}$")
_ESCAPES = {"$LT$": "<", "$GT$": ">", "$u20$": " ", "$RF$": "&", "$C$": ",", "$LP$": "(", "$RP$": ")",
            "$BP$": "*", "$u7b$": "{", "$u7d$": "}", "..": "::"}  # fmt: skip
_BASIC = {
    "a": "i8", "b": "bool", "c": "char", "d": "f64", "e": "str", "f": "f32", "h": "u8", "i": "isize",
    "j": "usize", "l": "i32", "m": "u32", "n": "i128", "o": "u128", "p": "_", "s": "i16", "t": "u16",
    "u": "()", "v": "...", "x": "i64", "y": "u64", "z": "!",
}  # fmt: skip
_MOST = 400
_DEEPEST = 40


@lru_cache(maxsize=2048)
def demangled(symbol: str) -> str:
    """Return the path of a mangled Rust *symbol*; any other symbol as it is."""
    if len(symbol) > _MOST:
        return symbol
    if symbol.startswith("_R"):
        try:
            return _V0(symbol[2:]).path(0) or symbol
        except (ValueError, IndexError):
            return symbol
    if symbol.startswith("_ZN"):
        return _legacy(symbol) or symbol
    return symbol


def _legacy(symbol: str) -> str:
    match = _LEGACY.match(symbol)
    if match is None:
        return ""
    rest, parts = match["parts"], []
    while rest:
        number = re.match(r"\d{1,3}", rest)
        if number is None:
            return ""
        start = number.end()
        size = int(number[0])
        part, rest = rest[start : start + size], rest[start + size :]
        if len(part) != size:
            return ""
        parts.append(part)
    if len(parts) < 2 or not _HASH.match(parts.pop()):
        return ""  # C++ uses the same letters, and has no such hash
    text = "::".join(parts)
    for escape, char in _ESCAPES.items():
        text = text.replace(escape, char)
    return re.sub(r"^_<(.*?) as .*?>", r"\1", re.sub(r"^_?<(&?[\w:]+)>", r"\1", text)).replace(
        " ", ""
    )


class _V0:
    """Reads one v0 symbol; raises ValueError where it is not one."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def path(self, depth: int) -> str:
        """Read a path and return it without generic arguments."""
        if depth > _DEEPEST:
            raise ValueError
        kind = self._next()
        if kind == "C":
            self._disambiguator()
            return self._identifier()
        if kind == "N":
            namespace = self._next()
            outer = self.path(depth + 1)
            number = self._disambiguator()
            name = self._identifier()
            if namespace == "C":
                name = f"{{closure#{number}}}" if not name else f"{{closure:{name}#{number}}}"
            return f"{outer}::{name}" if name else outer
        if kind in "MXY":
            if kind != "Y":
                self._disambiguator()
                self.path(depth + 1)  # where the impl stands
            implementor = self.type(depth + 1)
            if kind != "M":
                self.path(depth + 1)  # the trait
            return implementor
        if kind == "I":
            path = self.path(depth + 1)
            while self._peek() != "E":
                self._argument(depth + 1)
            self.at += 1
            return path
        if kind == "B":
            return self._back(lambda: self.path(depth + 1))
        raise ValueError(kind)

    def type(self, depth: int) -> str:
        """Read a type and return it, shortened."""
        if depth > _DEEPEST:
            raise ValueError
        kind = self._peek()
        if kind in _BASIC:
            self.at += 1
            return _BASIC[kind]
        if kind in "RQ":
            self.at += 1
            if self._peek() == "L":
                self.at += 1
                self._base62()
            return self.type(depth + 1)
        if kind in "PO":
            self.at += 1
            return self.type(depth + 1)
        if kind in "SA":
            self.at += 1
            inner = self.type(depth + 1)
            if kind == "A":
                self._const()
            return f"[{inner}]"
        if kind == "T":
            self.at += 1
            parts = []
            while self._peek() != "E":
                parts.append(self.type(depth + 1))
            self.at += 1
            return f"({', '.join(parts)})"
        if kind == "B":
            self.at += 1
            return self._back(lambda: self.type(depth + 1))
        if kind in "FD":
            raise ValueError(kind)
        return self.path(depth + 1)

    def _argument(self, depth: int) -> None:
        kind = self._peek()
        if kind == "L":
            self.at += 1
            self._base62()
        elif kind == "K":
            self.at += 1
            self._const()
        else:
            self.type(depth)

    def _const(self) -> None:
        kind = self._next()
        if kind == "B":
            self._base62()
        elif kind != "p":
            end = self.text.index("_", self.at)
            self.at = end + 1

    def _back(self, read: object) -> str:
        target = self._base62()
        if target >= self.at:
            raise ValueError
        here, self.at = self.at, target
        assert callable(read)
        text = str(read())
        self.at = here
        return text

    def _disambiguator(self) -> int:
        if self._peek() != "s":
            return 0
        self.at += 1
        return self._base62() + 1

    def _base62(self) -> int:
        end = self.text.index("_", self.at)
        digits, self.at = self.text[self.at : end], end + 1
        value = 0
        for digit in digits:
            value = (
                value * 62
                + "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".index(digit)
            )
        return value + 1 if digits else 0

    def _identifier(self) -> str:
        if self._peek() == "u":
            raise ValueError  # punycode: not in kernels
        number = re.match(r"\d{1,3}", self.text[self.at :])
        if number is None:
            raise ValueError
        self.at += number.end()
        size = int(number[0])
        if self._peek() == "_" and size:
            self.at += 1
        name = self.text[self.at : self.at + size]
        if len(name) != size:
            raise ValueError
        self.at += size
        return name

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _next(self) -> str:
        self.at += 1
        return self.text[self.at - 1]
