# SPDX-License-Identifier: Apache-2.0
"""From a Python function to its syntax tree, with true places.

The whole file is parsed, once, and the function looked up by its first line: so lines and columns
are the file's own, and no text is dedented or rewritten.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from quiesce.errors import Loc, UsageError, file_text, source_lines

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@lru_cache(maxsize=256)
def _parse(file: str, text: str) -> dict[tuple[int, str], FunctionNode]:
    """Return the functions of a file by the line that their code object names, and their name."""
    found: dict[tuple[int, str], FunctionNode] = {}
    for node in ast.walk(ast.parse(text, filename=file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            found[first, node.name] = node
    return found


def function_node(function: Callable[..., Any]) -> ast.FunctionDef | ast.AsyncFunctionDef:
    """Return the syntax tree of *function*.

    :raises UsageError: its source cannot be had (made by ``exec``, or typed at a prompt that forgets it).
    """
    code = inspect.unwrap(function).__code__
    try:
        functions = _parse(code.co_filename, file_text(code.co_filename))
    except (OSError, SyntaxError, UnicodeDecodeError):
        functions = {}
    node = functions.get((code.co_firstlineno, code.co_name))
    if node is None or isinstance(node, ast.Lambda):
        raise UsageError(
            f"the source of {function.__qualname__} cannot be read ({code.co_filename})",
            "put the protocol into a file or a notebook; lambdas, what `exec` made, and what is typed at "
            "the prompt of a Python before 3.13 have no source",
        )
    return node


@lru_cache(maxsize=1 << 16)
def loc_of(node: ast.AST, file: str, function: str) -> Loc:
    """Return the place of *node*, with columns in characters instead of UTF-8 bytes."""
    line = getattr(node, "lineno", 1)
    end_line = getattr(node, "end_lineno", line) or line
    return Loc(
        file,
        line,
        _characters(file, line, getattr(node, "col_offset", 0)),
        end_line,
        _characters(file, end_line, getattr(node, "end_col_offset", 0) or 0),
        function,
    )


@lru_cache(maxsize=1024)
def _columns(line: str) -> list[int] | None:
    """Return the character at each byte of *line*; None if they are the same."""
    if line.isascii():
        return None
    columns = [n for n, character in enumerate(line) for _ in character.encode()]
    return [*columns, len(line)]


def _characters(file: str, line: int, offset: int) -> int:
    try:
        columns = _columns(source_lines(file)[line - 1])
        return offset if columns is None else columns[offset]
    except (OSError, IndexError):
        return offset
