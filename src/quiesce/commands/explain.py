# SPDX-License-Identifier: Apache-2.0
"""``quiesce explain [FILE|DIR|-]...``: explain every report in a log, or in many."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from quiesce.commands.explain_many import batch_command, compare_command
from quiesce.commands.fail_on import FAIL_ON
from quiesce.commands.formats import Output, Outputs, short_forms
from quiesce.errors import UsageError
from quiesce.explain.judge.answer import Judgement
from quiesce.explain.log import (
    EXIT_FOUND,
    ExplainedLog,
    explain_bytes,
    explain_stream,
    explain_text,
)
from quiesce.explain.prove.proof import has_model, write_model
from quiesce.explain.show import as_commit
from quiesce.explain.show.as_document import log_document
from quiesce.outputs import require_writable


def explain(args: argparse.Namespace) -> int:
    """Explain the reports of the logs that ``args.files`` names."""
    files: list[str] = args.files
    unwanted = frozenset(verdict for name in args.fail_on for verdict in FAIL_ON[name])
    if args.compare is not None:
        _exclude("--compare", args, "jsonl", "markdown", "html", "format", "model", "commit")
        return compare_command(files, args.compare, json=args.json, out=sys.stdout)
    if args.jsonl or len(files) > 1 or (files[0] != "-" and Path(files[0]).is_dir()):
        what = "--jsonl" if args.jsonl else "a summary of several logs"
        _exclude(what, args, "json", "markdown", "html", "model", "commit")
        if args.jsonl:
            _exclude("--jsonl", args, "format")
        return batch_command(
            files,
            jsonl=args.jsonl,
            quiet=args.quiet,
            unwanted=unwanted,
            outputs=Outputs(args.format, files),
            out=sys.stdout,
        )
    return explain_command(
        files[0],
        json=args.json,
        markdown=args.markdown,
        html=Path(args.html) if args.html is not None else None,
        formats=args.format,
        quiet=args.quiet,
        verbose=args.verbose,
        commit=args.commit,
        model=Path(args.model) if args.model is not None else None,
        unwanted=unwanted,
        out=sys.stdout,
        err=sys.stderr,
    )


def _exclude(what: str, args: argparse.Namespace, *options: str) -> None:
    given = [f"--{option}" for option in options if getattr(args, option)]
    if given:
        raise UsageError(f"{what} and {given[0]} exclude each other", "choose one")


def explain_command(
    text_or_path: str,
    *,
    json: bool = False,
    markdown: bool = False,
    html: Path | None = None,
    formats: Sequence[Output] = (),
    quiet: bool = False,
    verbose: bool = False,
    commit: bool = False,
    model: Path | None = None,
    unwanted: frozenset[Judgement] = frozenset(),
    out: TextIO,
    err: TextIO,
) -> int:
    """Explain a log and return the exit code.

    :param text_or_path: a path, ``-`` for standard input, or the log itself when it has several
        lines.
    :param json: print one JSON object instead of text; *markdown*: print Markdown.
    :param html: also write a page to this file.
    :param formats: further forms.
    :param quiet: print only the verdict of each report; *verbose*: print all that stands behind it.
    :param commit: print the paragraph about each report that a changelog would have.
    :param model: write the scenario of the first report that has one to this file.
    :param unwanted: verdicts that are a failure.
    :returns: 1 when a report has an unwanted verdict; 0 when every report was read whole, or when there
        is none (said on *err*); 3 when something was missing. Without unwanted verdicts a deadlock
        that was explained is a success.
    :raises UsageError: the log cannot be read, or a file cannot be written.
    """
    wanted = [*short_forms(json=json, markdown=markdown, html=str(html or "")), *formats]
    outputs = Outputs(wanted, [text_or_path])
    if commit and outputs.on_stdout:
        raise UsageError(f"{outputs.on_stdout} and --commit exclude each other", "choose one")
    if quiet and verbose:
        raise UsageError("--quiet and --verbose exclude each other", "choose one")
    if model is not None:
        require_writable("--model", str(model), [text_or_path, *outputs.file_names])
    log = _read(text_or_path)
    name = "" if text_or_path == "-" or "\n" in text_or_path else text_or_path
    document = log_document(log, name, quiet=quiet, verbose=verbose, unwanted=unwanted)
    if commit:
        out.write(as_commit.render(log))
        outputs.write_files(document)
    else:
        outputs.write(document, out)
    if model is not None:
        _write_model(log, model)
    if not log.reports:
        print(f"no report about waiting found in this log{_but(log)}", file=err)
    elif not outputs.for_programs:
        _tell_missing(log, err)
    if any(one.explanation.answer.verdict in unwanted for one in log.reports):
        return EXIT_FOUND
    return log.exit_code


def _read(text_or_path: str) -> ExplainedLog:
    if "\n" in text_or_path:
        return explain_text(text_or_path)
    if text_or_path == "-":
        if sys.stdin is None:
            raise UsageError("standard input is closed", "dmesg | quiesce explain, or give a file")
        binary = getattr(sys.stdin, "buffer", None)
        try:
            if binary is None:
                return explain_stream(sys.stdin)  # type: ignore[arg-type]
            return explain_bytes(binary, "standard input")
        except OSError as error:
            raise UsageError(f"standard input cannot be read: {error.strerror}") from None
    try:
        with open(text_or_path, "rb") as stream:
            return explain_bytes(stream, text_or_path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"cannot read the log {text_or_path}: {reason}", "give a file, or - for standard input"
        ) from None


def _write_model(log: ExplainedLog, path: Path) -> None:
    for one in log.problems:
        if has_model(one.report):
            write_model(one.report, path)
            return
    raise UsageError(
        "there is no report in this log that a model can be made of", "leave --model out"
    )


def _but(log: ExplainedLog) -> str:
    """Return what the log has instead, if that is known."""
    return "" if not log.others else f"; it has {len(log.others)} of another kind"


def _tell_missing(log: ExplainedLog, err: TextIO) -> None:
    if log.unread:
        print(f"{log.unread} more reports in this log were not read", file=err)
    for one in log.reports:
        if one.report.missing:
            parts = "; ".join(str(missing) for missing in one.report.missing)
            print(f"line {one.report.line}: not in this text: {parts}", file=err)
