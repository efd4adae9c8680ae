# SPDX-License-Identifier: Apache-2.0
"""``--format NAME[=FILE]``: in which forms a result is given, and where each goes.

``--json``, ``--markdown`` and ``--html FILE`` are short for ``--format json``, ``--format markdown`` and
``--format html=FILE``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from quiesce.errors import UsageError
from quiesce.outputs import require_writable, write_file
from quiesce.report import formats

if TYPE_CHECKING:
    from quiesce.report.document import Document


@dataclass(frozen=True, slots=True)
class Output:
    """A form of the result.

    :param name: of the format.
    :param file: where it goes; empty: to standard output.
    :param option: how it was asked for, for messages.
    """

    name: str
    file: str
    option: str


def add_format_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--format`` to *parser*."""
    parser.add_argument(
        "--format", action="append", default=[], type=_output, metavar="NAME[=FILE]",
        help="give the result in another form, to FILE or instead of the text; can be repeated; "
        f"NAME: {', '.join(formats.names())}",
    )  # fmt: skip


def _output(text: str) -> Output:
    name, equals, file = text.partition("=")
    known = formats.names()
    if name not in known:
        raise argparse.ArgumentTypeError(f"`{name}` is not a format; formats: {', '.join(known)}")
    if equals and not file:
        raise argparse.ArgumentTypeError(
            f"`{text}` names no file; write {name}=FILE, or {name} alone for standard output"
        )
    return Output(name, file, f"--format {name}")


def short_forms(*, json: bool = False, markdown: bool = False, html: str = "") -> list[Output]:
    """Return what the short options ask for: ``--json``, ``--markdown`` and ``--html FILE``."""
    given = [("json", "", json), ("markdown", "", markdown), ("html", html, bool(html))]
    return [Output(name, file, f"--{name}") for name, file, on in given if on]


def outputs_of(args: argparse.Namespace, inputs: Iterable[str] = ()) -> Outputs:
    """Return the forms that *args* ask for: see :class:`Outputs`."""
    html = getattr(args, "html", None)
    if html == "":
        require_writable("--html", html)
    short = short_forms(json=args.json, html=html or "")
    return Outputs([*short, *args.format], inputs)


class Outputs:
    """The forms of a result that are wanted, text if none is to be printed.

    :param inputs: files that the command reads or writes besides.
    :raises UsageError: a file cannot be written, is named twice, or two forms cannot share standard output.
    """

    def __init__(self, wanted: Sequence[Output] = (), inputs: Iterable[str] = ()) -> None:
        self._files = [output for output in wanted if output.file]
        self._printed = [output for output in wanted if not output.file]
        _refuse_mixture(self._printed)
        used = [path for path in inputs if path]
        for output in self._files:
            require_writable(output.option, output.file, used)
            used.append(output.file)

    @property
    def on_stdout(self) -> str:
        """The options that ask for something on standard output."""
        return " and ".join(output.option for output in self._printed)

    @property
    def file_names(self) -> list[str]:
        """The files that are written."""
        return [output.file for output in self._files]

    @property
    def for_programs(self) -> bool:
        """True if what is printed is for a program: then no progress is shown."""
        return bool(self._printed) and all(output.name != "text" for output in self._printed)

    def write(self, document: Document, out: TextIO | None = None) -> None:
        """Print *document* and write its files.

        :param out: where it is printed; None: standard output.
        """
        from quiesce.report.style import style_of

        stream = out if out is not None else sys.stdout
        style = style_of(stream)
        for output in self._printed or [Output("text", "", "")]:
            text = style.finish(formats.write(document, output.name, style))
            # Colors are our own; everything else has been made harmless.
            show = getattr(stream, "control", None) if style.colors else None
            (show or stream.write)(text)
        self.write_files(document)

    def write_files(self, document: Document) -> None:
        """Write *document* to the files that were named."""
        from quiesce.report.style import PLAIN

        for output in self._files:
            write_file(output.file, formats.write(document, output.name, PLAIN))


def _refuse_mixture(printed: Sequence[Output]) -> None:
    if len(printed) > 1 and not all(formats.can_follow(output.name) for output in printed):
        raise UsageError(
            f"{' and '.join(o.option for o in printed)} exclude each other on standard output",
            f"give one a file: --format {printed[-1].name}=FILE",
        )
