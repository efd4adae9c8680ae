# SPDX-License-Identifier: Apache-2.0
"""From the bytes of a log to its text: compressed files, and encodings.

What wraps each line (JSON of journald, of docker or of dmesg; /dev/kmsg records) is taken off line by
line, see ``records``.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import importlib
import io
import lzma
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from typing import IO, Any

from quiesce.errors import UsageError

_BLOCK = 1 << 20
_SNIFF = 4096
_MOST_ZEROS = 0.05
"""Of a text, at most so many bytes are zero; a serial console may lose a few."""

_GZIP, _XZ, _ZSTD, _BZIP2 = b"\x1f\x8b", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"BZh"
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive"),
    (b"\x7fELF", "an ELF file"),
    (b"%PDF", "a PDF file"),
    (b"KDUMP   ", "a kernel dump: run `crash` on it, and give what its `log` prints"),
    (b"LPKSHHRH", "a journal file: give what `journalctl --file FILE -k` prints"),
)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def log_text(stream: IO[bytes], name: str) -> Iterator[str]:
    """Yield the text of a log in blocks.

    :param name: what the log is called in a message.
    :raises UsageError: it is not text, or compressed in a way that cannot be read here.
    """
    buffered = io.BufferedReader(_Raw(stream), _BLOCK)
    try:
        yield from _decoded(_unpacked(buffered, name), name)
    except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error) as error:
        raise UsageError(f"cannot unpack {name}: {error}", "unpack it and give the text") from None


class _Raw(io.RawIOBase):
    """Makes any binary stream one that can be buffered and looked into."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _unpacked(stream: io.BufferedReader[Any], name: str) -> io.BufferedReader[Any]:
    head = stream.peek(_SNIFF)[:_SNIFF]
    if head.startswith(_GZIP):
        return io.BufferedReader(gzip.GzipFile(fileobj=stream), _BLOCK)
    if head.startswith(_XZ):
        return io.BufferedReader(lzma.LZMAFile(stream), _BLOCK)
    if head.startswith(_BZIP2) and head[3:4].isdigit():
        return io.BufferedReader(bz2.BZ2File(stream), _BLOCK)
    if head.startswith(_ZSTD):
        return _zstd(stream, name)
    for magic, what in _OTHERS:
        if head.startswith(magic):
            raise UsageError(f"{name} is not a log but {what}", "give a log")
    return stream


def _zstd(stream: io.BufferedReader[Any], name: str) -> io.BufferedReader[Any]:
    """Unpack zstd with Python 3.14, the package zstandard or the program zstd, whichever is there."""
    for module in ("compression.zstd", "backports.zstd"):
        if (found := _module(module)) is not None:
            return io.BufferedReader(found.ZstdFile(stream), _BLOCK)
    if (found := _module("zstandard")) is not None:
        return io.BufferedReader(_Raw(found.ZstdDecompressor().stream_reader(stream)), _BLOCK)
    program = shutil.which("zstd")
    if program is None:
        raise UsageError(
            f"{name} is compressed with zstd, which neither this Python nor a program here can unpack",
            "install zstd, or give the unpacked text",
        )
    done = subprocess.run([program, "-dcq"], input=stream.read(), capture_output=True, check=False)
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip().rpartition(":")[2].strip()
        raise UsageError(f"cannot unpack {name}: {reason}", "unpack it and give the text")
    return io.BufferedReader(_Raw(io.BytesIO(done.stdout)), _BLOCK)


def _module(name: str) -> Any | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _decoded(stream: io.BufferedReader[Any], name: str) -> Iterator[str]:
    head = stream.peek(_SNIFF)[:_SNIFF]
    encoding = next((coding for bom, coding in _BOMS if head.startswith(bom)), "")
    if not encoding:
        encoding = _guessed(head)
    if not encoding and head.count(0) > _MOST_ZEROS * len(head):
        raise UsageError(f"{name} is not text: it is full of zero bytes", "give a log")
    decoder = codecs.getincrementaldecoder(encoding or "utf-8")("replace")
    while block := stream.read(_BLOCK):
        yield decoder.decode(block).replace("\r\n", "\n")
    yield decoder.decode(b"", final=True)


def _guessed(head: bytes) -> str:
    """Return the encoding of UTF-16 without a mark: every other byte of plain text is zero."""
    pairs = head[: len(head) // 2 * 2]
    if len(pairs) < 16:
        return ""
    even, odd = pairs[0::2].count(0), pairs[1::2].count(0)
    half = len(pairs) // 2
    if odd > 0.9 * half and even < 0.1 * half:
        return "utf-16-le"
    if even > 0.9 * half and odd < 0.1 * half:
        return "utf-16-be"
    return ""
