# SPDX-License-Identifier: Apache-2.0
"""The beginning of a checkpoint: what was searched, how far, and the checksums of what follows.

The header is one line of JSON; the next line is its SHA-256. Checksums find damage, not forgery: any
program can write a file whose checksums are right. So the counts are also held against each other and
against the size of the file before anything is read, and nothing that the file says can make a kernel read
or write outside its vectors.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import IO

from quiesce.explorer.native.chunks import Chunk

Identity = dict[str, str | int | bool]
"""What two searches must have in common for one to continue the other."""

_BEGINNING = b'{"format": "quiesce checkpoint 4", '
_DIGEST = re.compile(rb"[0-9a-f]{64}\n")


class BadHeader(ValueError):
    """The header is not one that we wrote; the text says what is wrong with it."""


class NotACheckpoint(ValueError):
    """The file does not begin as a checkpoint of this format does."""


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far one worker is: the states that it discovered, and how many it expanded."""

    count: int
    expanded: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a checkpoint says before its vectors.

    :param levels: for each depth, how many states each worker had when it began.
    :param todo: the chunks of the level in progress that no worker has taken.
    :param checksums: of each vector, in the order in which they follow.
    """

    identity: Identity
    levels: list[tuple[int, ...]]
    todo: list[Chunk]
    workers: list[Progressed]
    checksums: list[int]

    def to_bytes(self) -> bytes:
        """Return the header as it stands in the file."""
        data = {
            "identity": self.identity,
            "levels": self.levels,
            "todo": self.todo,
            "workers": [[w.count, w.expanded] for w in self.workers],
            "checksums": self.checksums,
        }
        text = _BEGINNING + json.dumps(data)[1:].encode() + b"\n"
        return text + hashlib.sha256(text).hexdigest().encode() + b"\n"


def read_header(file: IO[bytes], size: int) -> Header:
    """Return the header that *file*, of *size* bytes, begins with; its numbers fit each other.

    :raises NotACheckpoint: it does not begin as a checkpoint does.
    :raises BadHeader: the header is damaged, or contradicts itself.
    """
    beginning = file.read(len(_BEGINNING))
    if beginning != _BEGINNING:
        raise NotACheckpoint
    text = beginning + file.readline(size)
    digest = file.readline(65)
    if not _DIGEST.fullmatch(digest) or hashlib.sha256(text).hexdigest() != digest.decode()[:-1]:
        raise BadHeader("the checksum of its header is wrong")
    try:
        header = _parsed(json.loads(text))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadHeader("its header does not have the parts that it should have") from None
    for complaint in _contradictions(header):
        raise BadHeader(complaint)
    return header


def _parsed(data: dict[str, object]) -> Header:
    """Return *data* as a header.

    :raises ValueError, KeyError, TypeError: a part is missing, or is of another type.
    """
    identity = data["identity"]
    if not isinstance(identity, dict):
        raise TypeError("the identity is not an object")
    return Header(
        identity,
        [tuple(row) for row in _rows(data["levels"])],
        [Chunk(owner, lo, hi) for owner, lo, hi in _rows(data["todo"])],
        [Progressed(count, expanded) for count, expanded in _rows(data["workers"])],
        _numbers(data["checksums"]),
    )


def _rows(value: object) -> list[list[int]]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return [_numbers(row) for row in value]


def _numbers(value: object) -> list[int]:
    """Return *value* if it is a list of integers of 0 or more."""
    if not isinstance(value, list) or not all(type(x) is int and x >= 0 for x in value):
        raise TypeError("not a list of numbers")
    return value


def _contradictions(header: Header) -> Iterator[str]:
    """Yield what cannot be true of a search that no worker is in the middle of.

    ``search.py`` keeps these: the level in progress lies between the last two rows of *levels*, each level
    has states, and what was expanded is all that was discovered before it was begun but for *todo*.
    """
    counts = [w.count for w in header.workers]
    rows = [*header.levels, tuple(counts)]
    if not header.workers or len(header.levels) < 2:
        yield "it has no workers, or no levels"
        return
    if any(len(row) != len(counts) for row in rows):
        yield "a level does not have a number for each worker"
        return
    if any(rows[0]):
        yield "its first level does not begin with no states"
    for before, after in pairwise(rows):
        if any(a > b for a, b in zip(before, after, strict=True)):
            yield "a level ends before it begins"
        elif before == after and after is not rows[-1]:
            yield "a level has no states"
    starts, ends = header.levels[-2:]
    reached = dict(enumerate(starts))
    for chunk in sorted(header.todo):
        if not chunk.owner < len(counts) or not chunk.lo < chunk.hi <= ends[chunk.owner]:
            yield "a chunk lies outside the level in progress"
            return
        if chunk.lo < reached[chunk.owner]:
            yield "a chunk lies outside the level in progress, or two overlap"
            return
        reached[chunk.owner] = chunk.hi
    left = sum(chunk.hi - chunk.lo for chunk in header.todo)
    if sum(w.expanded for w in header.workers) != sum(ends) - left:
        yield "the number of states that were expanded does not fit what is left"
