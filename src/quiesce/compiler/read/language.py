# SPDX-License-Identifier: Apache-2.0
"""What of Python is outside the protocol language, with the reason and the accepted spelling.

Every class of ``ast`` is either read by :mod:`~quiesce.compiler.read.statements` or
:mod:`~quiesce.compiler.read.expressions`, or has its sentence here; a test compares the two for the running
Python, since ``ast`` grows.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """Why a construct is refused: a stable code, the sentence, the reason, and the way out."""

    code: str
    message: str
    why: str
    help: str


_OBJECTS = "a step may only change declared shared variables and local integers, booleans and tasks"
_FLOW = "a thread's control flow is unrolled into steps"

REFUSED: dict[type[ast.AST], Refusal] = {
    ast.AsyncFunctionDef: Refusal(
        "async", "a coroutine is not a thread", "threads here are preempted anywhere, coroutines are not",
        "write a plain method and mark it @thread()"),
    ast.Await: Refusal(
        "async", "`await` is outside the language", "threads here are preempted anywhere",
        "wait_until(lambda: condition)"),
    ast.AsyncFor: Refusal("async", "`async for` is outside the language", _FLOW, "for i in range(n):"),
    ast.AsyncWith: Refusal("async", "`async with` is outside the language", _FLOW, "with self.lock:"),
    ast.Yield: Refusal("generator", "a generator is outside the language", _FLOW, "a method called for each item"),
    ast.YieldFrom: Refusal("generator", "a generator is outside the language", _FLOW, "a method called for each item"),
    ast.Try: Refusal(
        "exception", "`try` is outside the language", "an exception would end a thread in the middle of a step",
        "return a flag and test it; `with lock:` releases on every way out"),
    ast.TryStar: Refusal(
        "exception", "`try` is outside the language", "an exception would end a thread in the middle of a step",
        "return a flag and test it; `with lock:` releases on every way out"),
    ast.ExceptHandler: Refusal("exception", "`except` is outside the language", _FLOW, "return a flag and test it"),
    ast.Raise: Refusal(
        "exception", "`raise` is outside the language", "an exception would end a thread in the middle of a step",
        'assert condition, "message"'),
    ast.FunctionDef: Refusal(
        "nested-function", "a function inside a method is outside the language", "its variables would outlive their step",
        "a method of the component, or a function of the module"),
    ast.ClassDef: Refusal("nested-class", "a class inside a method is outside the language", _OBJECTS, "a class of the module"),
    ast.Lambda: Refusal(
        "lambda", "a lambda is only understood as the argument of wait_until", "functions are not values here",
        "a method of the component"),
    ast.Delete: Refusal("delete", "`del` is outside the language", _OBJECTS, "assign a value that says so, such as None"),
    ast.Import: Refusal("import", "`import` inside a method is outside the language", "names are fixed when the scenario is built", "import at the head of the file"),
    ast.ImportFrom: Refusal("import", "`import` inside a method is outside the language", "names are fixed when the scenario is built", "import at the head of the file"),
    ast.Global: Refusal("global", "a global variable is not shared state", "only declared variables are part of a state", "declare it: `x = Int(0)` on a component"),
    ast.Nonlocal: Refusal("global", "an outer variable is not shared state", "only declared variables are part of a state", "declare it: `x = Int(0)` on a component"),
    ast.Match: Refusal("match", "`match` is outside the language", "", "if x == A: ... elif x == B: ..."),
    ast.List: Refusal("container", "a list is outside the language", _OBJECTS, "declare `Array(Int(0), n)`"),
    ast.Dict: Refusal("container", "a dict is outside the language", _OBJECTS, "declare `Array(Int(0), n)`"),
    ast.Set: Refusal("container", "a set display is outside the language", _OBJECTS, "declare `Set(n)`; test with `x in (A, B)`"),
    ast.ListComp: Refusal("comprehension", "a comprehension is outside the language", _OBJECTS, "a `for` loop"),
    ast.SetComp: Refusal("comprehension", "a comprehension is outside the language", _OBJECTS, "a `for` loop"),
    ast.DictComp: Refusal("comprehension", "a comprehension is outside the language", _OBJECTS, "a `for` loop"),
    ast.GeneratorExp: Refusal("comprehension", "a generator expression is outside the language", _OBJECTS, "a `for` loop, or `and`/`or`"),
    ast.JoinedStr: Refusal("string", "an f-string is outside the language", "a state holds no text", "a plain string as the message of an assert"),
    ast.FormattedValue: Refusal("string", "an f-string is outside the language", "a state holds no text", "a plain string"),
    ast.NamedExpr: Refusal("walrus", "`:=` is outside the language", "a step boundary may lie inside the expression", "an assignment of its own"),
    ast.Slice: Refusal("slice", "a slice is outside the language", _OBJECTS, "a `for` loop over the indices"),
    ast.Div: Refusal("division", "`/` gives a fraction", "a state holds integers", "`//`"),
    ast.Pow: Refusal("power", "`**` is outside the language", "a state holds small integers", "`<<`, or a constant of the object"),
    ast.MatMult: Refusal("operator", "`@` is outside the language", "a state holds integers", "a loop"),
}  # fmt: skip

for _name in ("TypeAlias", "TemplateStr", "Interpolation"):
    if hasattr(ast, _name):
        REFUSED[getattr(ast, _name)] = Refusal(
            "syntax", f"`{_name}` is outside the language", _OBJECTS, "leave it out"
        )
