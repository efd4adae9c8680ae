# SPDX-License-Identifier: Apache-2.0
"""One pasted line that repeats a counterexample exactly.

A token names the scenario, its settings, a digest of all the source that was compiled, and the path.
If the source has changed since, the replay is refused: it would show something else.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import asdict, dataclass
from typing import Any

from quiesce.compiler.program import Program
from quiesce.errors import UsageError
from quiesce.explorer.findings import Finding

_PREFIX = "q1-"
_LONGEST = 16 << 20
"""Bytes that a token may unfold to; the longest counterexamples take a few thousand."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a replay token says.

    :param target: ``FILE:CLASS``, or ``kvm``.
    :param settings: ``name=value`` each.
    """

    target: str
    settings: tuple[str, ...]
    fuse: bool
    digest: str
    finding: Finding


def make_token(target: str, settings: tuple[str, ...], program: Program, finding: Finding) -> str:
    """Return the token for *finding* of *program*."""
    data = asdict(Token(target, settings, program.fuse, program.digest, finding))
    packed = zlib.compress(json.dumps(data, separators=(",", ":")).encode(), 9)
    return _PREFIX + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read_token(text: str) -> Token:
    """Return what the token *text* says.

    :raises UsageError: it is no token, or was cut short.
    """
    body = text.strip()
    try:
        if not body.startswith(_PREFIX):
            raise ValueError("the prefix is missing")
        packed = base64.b64decode(
            body[len(_PREFIX) :] + "=" * (-len(body[3:]) % 4), altchars=b"-_", validate=True
        )
        opened = zlib.decompressobj()
        text = opened.decompress(packed, _LONGEST).decode()
        return _checked(json.loads(text))
    except (ValueError, KeyError, TypeError, RecursionError, zlib.error) as error:
        raise UsageError(
            "this is no replay token, or a part of one", "paste the whole word that begins with q1-"
        ) from error


def _checked(data: Any) -> Token:
    """Return *data* as a token; every part of it has to be what we would have written.

    :raises ValueError, KeyError, TypeError: it is not.
    """
    finding = data["finding"]
    numbers = [*finding["path"], finding["thread"]]
    loop = finding["loop_start"]
    words = [data["target"], data["digest"], *data["settings"]]
    words += [finding[k] for k in ("kind", "property", "message")]
    if (
        not all(isinstance(w, str) for w in words)
        or not all(type(n) is int for n in numbers)
        or not all(n >= 0 for n in finding["path"])
        or not (loop is None or (type(loop) is int and 0 <= loop < len(finding["path"])))
        or not isinstance(data["fuse"], bool)
    ):
        raise ValueError("a part is of the wrong type")
    found = Finding(
        finding["kind"], finding["property"], finding["message"], tuple(finding["path"]), loop,
        finding["thread"],
    )  # fmt: skip
    return Token(data["target"], tuple(data["settings"]), data["fuse"], data["digest"], found)


def require_same_source(token: Token, program: Program) -> None:
    """Refuse a token whose source has changed since.

    :raises UsageError: the digests differ.
    """
    if token.digest != program.digest:
        raise UsageError(
            f"{token.target} has changed since this counterexample was found "
            f"(digest {token.digest}, now {program.digest})",
            f"check it again: quiesce check {token.target}",
        )
