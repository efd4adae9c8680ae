# SPDX-License-Identifier: Apache-2.0
"""From ``FILE[:CLASS]`` and ``name=value`` on a command line to a scenario object."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import stat
import sys
import traceback
import typing
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from types import ModuleType

from quiesce.errors import Diagnostic, Loc, QuiesceError, SourceErrors, UsageError
from quiesce.protocol import Scenario
from quiesce.stopping import is_request


def load_scenario(target: str, settings: Sequence[str]) -> Scenario:
    """Return the scenario that *target* names, built with *settings*.

    :param target: ``FILE`` or ``FILE:CLASS``; the class may be left out if the file has one scenario.
    :param settings: ``name=value`` for parameters of its constructor.
    :raises UsageError: there is no such file, class or parameter.
    :raises SourceErrors: the file is not valid Python.
    """
    return build(load_class(target), settings)


def load_class(target: str) -> type[Scenario]:
    """Return the class of the scenario that *target*, ``FILE[:CLASS]``, names.

    :raises UsageError: there is no such file or class.
    :raises SourceErrors: the file is not valid Python.
    """
    file, class_name = split_target(target)
    return _pick(file, _import(file, _text_of(file)), class_name)


def load_text(file: str, text: bytes, class_name: str, settings: Sequence[str]) -> Scenario:
    """Return the scenario *class_name* of *text*, which was read from *file*, built with *settings*.

    :raises UsageError: there is no such class or parameter.
    :raises SourceErrors: the text is not valid Python.
    """
    return build(_pick(file, _import(file, text), class_name), settings)


def split_target(target: str) -> tuple[str, str]:
    """Return the file and the class of ``FILE[:CLASS]``."""
    file, colon, name = target.rpartition(":")
    if colon and name.isidentifier() and not Path(target).exists():
        return file, name
    return target, ""


def build(scenario: type[Scenario], settings: Sequence[str]) -> Scenario:
    """Return ``scenario(**settings)``, the values converted to the types of the defaults."""
    parameters = _parameters(scenario)
    values: dict[str, object] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting}: there is no `=`", f"--set {setting}=VALUE")
        if name not in parameters:
            known = ", ".join(parameters) or "none"
            raise UsageError(
                f"{scenario.__name__} has no parameter `{name}`", f"its parameters: {known}"
            )
        values[name] = _convert(name, text, parameters[name].default)
    missing = [
        n for n, p in parameters.items() if p.default is inspect.Parameter.empty and n not in values
    ]
    if missing:
        raise UsageError(
            f"{scenario.__name__} needs a value for {', '.join(missing)}",
            " ".join(f"--set {n}=VALUE" for n in missing),
        )
    code = getattr(scenario.__init__, "__code__", None)
    file = code.co_filename if code is not None else scenario.__module__
    with _users_code(file, f"{scenario.__name__} cannot be built: "):
        return scenario(**values)


def values_of(scenario: type[Scenario], over: str) -> tuple[str, tuple[str, ...]]:
    """Return the parameter that *over* names, and the values to compare, as on a command line.

    :param over: ``name``, for a parameter whose values are known: a yes-or-no one, an enum, a ``Literal``;
        else ``name=value,value`` or ``name=1..4``.
    :raises UsageError: there is no such parameter, or its values are not known, or too few or too many.
    """
    name, equals, text = over.partition("=")
    parameters = _parameters(scenario)
    if name not in parameters:
        known = ", ".join(parameters) or "none"
        raise UsageError(
            f"{scenario.__name__} has no parameter `{name}`", f"its parameters: {known}"
        )
    values = _listed(text) if equals else _known_values(scenario, parameters[name])
    if not values:
        raise UsageError(
            f"the values of the parameter `{name}` are not known",
            f"--over {name}=VALUE,VALUE; or say `{name}: Literal[...]` in the constructor",
        )
    values = list(dict.fromkeys(values))
    if not 2 <= len(values) <= MOST_VALUES:
        raise UsageError(
            f"--over {over}: there is nothing to compare with {len(values)} values",
            f"from 2 to {MOST_VALUES} values",
        )
    return name, tuple(values)


def listed_values(scenario: type[Scenario], name: str, text: str) -> list[str]:
    """Return the values that ``--set name=text`` asks for: one, or those of ``2..8`` or ``a,b``.

    The value of a parameter that is a text is one value, whatever is in it.

    :raises UsageError: there is none, as in ``8..2``.
    """
    parameter = _parameters(scenario).get(name)
    if parameter is None or isinstance(parameter.default, str):
        return [text]
    low, dots, high = text.partition("..")
    several = dots and _is_integer(low) and _is_integer(high)
    if not several and ("," not in text or parameter.default is inspect.Parameter.empty):
        return [text]
    values = list(dict.fromkeys(_listed(text)))
    if not values:
        raise UsageError(f"--set {name}={text}: there is no value", f"--set {name}=2..8")
    return values


MOST_VALUES = 50
"""Variants that can be compared with each other."""


def _listed(text: str) -> list[str]:
    """Return the values of ``a,b,c``, or of ``1..4``, which are all whole numbers from 1 to 4."""
    low, dots, high = text.partition("..")
    if dots and _is_integer(low) and _is_integer(high) and len(low) < 9 and len(high) < 9:
        return [str(n) for n in range(int(low), min(int(high), int(low) + MOST_VALUES) + 1)]
    return [value for value in text.split(",") if value]


def _known_values(scenario: type[Scenario], parameter: inspect.Parameter) -> list[str]:
    """Return all values that a parameter can have, if its type or its default tells."""
    if isinstance(parameter.default, bool):
        return ["false", "true"]
    if isinstance(parameter.default, Enum):
        return [member.name for member in type(parameter.default)]
    try:
        hint = typing.get_type_hints(scenario.__init__).get(parameter.name)
    except Exception:
        return []  # an annotation that cannot be evaluated says nothing
    if typing.get_origin(hint) is typing.Literal:
        return [str(value) for value in typing.get_args(hint)]
    if inspect.isclass(hint) and issubclass(hint, Enum):
        return [member.name for member in hint]
    return []


def _parameters(scenario: type[Scenario]) -> dict[str, inspect.Parameter]:
    """Return the parameters of the constructor that can be set by name."""
    try:
        found = inspect.signature(scenario.__init__).parameters
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"the constructor of {scenario.__name__} cannot be read: {error}"
        ) from None
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: p for name, p in found.items() if name != "self" and p.kind in named}


@contextlib.contextmanager
def _users_code(file: str, what: str = "") -> Iterator[None]:
    """Run code of the user's, which may raise anything and may print.

    What it prints goes to standard error, since standard output is for the answer; and what it does to
    the standard streams is undone.

    :raises UsageError: whatever it raised, with the place in *file*; *what* comes first.
    """
    streams = sys.stdout, sys.stderr
    sys.stdout = sys.stderr
    try:
        yield
    except (QuiesceError, SyntaxError):
        raise
    except BaseException as error:
        if is_request(error):
            raise
        raise UsageError(f"{what}{_place_in(file, error)}{_named(error)}") from error
    finally:
        sys.stdout, sys.stderr = streams


def _place_in(file: str, error: BaseException) -> str:
    """Return where in *file* an exception passed, ``file.py:12: ``."""
    frames = traceback.extract_tb(error.__traceback__)
    place = next((f for f in reversed(frames) if f.filename == file), None)
    return f"{file}:{place.lineno}: " if place else f"{file}: "


_LONGEST_MESSAGE = 2000


def _named(error: BaseException) -> str:
    """Return the text of *error*; of one that is meant for people, without its class."""
    try:
        text = str(error)
    except Exception:
        text = "its text cannot be read"
    if len(text) > _LONGEST_MESSAGE:
        text = f"{text[:_LONGEST_MESSAGE]} ..."
    if type(error) is ValueError and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _convert(name: str, text: str, default: object) -> object:
    """Return *text* as a value of the type of *default*; without one, a number if it looks like one."""
    if isinstance(default, bool):
        if text.lower() not in _WORDS:
            raise UsageError(f"--set {name}={text}: this is a yes-or-no parameter", f"{name}=true")
        return _WORDS[text.lower()]
    if isinstance(default, Enum):
        for member in type(default):
            if text.lower() in (member.name.lower(), str(member.value).lower()):
                return member
        known = ", ".join(member.name for member in type(default))
        raise UsageError(f"--set {name}={text}: there is no such {type(default).__name__}", known)
    if isinstance(default, int):
        return _integer(name, text)
    if isinstance(default, str):
        return text
    if default is None or default is inspect.Parameter.empty:
        if text.lower() in ("true", "false"):
            return _WORDS[text.lower()]
        return _integer(name, text) if _is_integer(text) else text
    raise UsageError(
        f"--set {name}={text}: a {type(default).__name__} cannot be given on the command line",
        "what can be: whole numbers, yes or no, words, members of enums",
    )


def _is_integer(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdecimal()


LARGEST = 2**63 - 1
"""What a number on the command line may be: more does not fit into a machine word."""


def _integer(name: str, text: str) -> int:
    if not _is_integer(text):
        raise UsageError(f"--set {name}={text}: this needs a whole number", f"--set {name}=2")
    # Python reads no number of thousands of digits.
    if len(text) > 99 or abs(int(text)) > LARGEST:
        raise UsageError(
            f"--set {name}={text}: the number is out of range",
            f"from {-LARGEST:,} to {LARGEST:,}",
        )
    return int(text)


_imports = itertools.count()


def _import(file: str, text: bytes) -> list[type[Scenario]]:
    """Run *text*, which was read from *file*, and return the scenarios that it defines.

    It is compiled here, under the name that the user gave, so that this is the name in all places; and
    nothing is left beside it.
    """
    path = Path(file)
    name = f"quiesce_protocol_{next(_imports)}_{path.stem}"
    module = ModuleType(name)
    module.__file__ = str(path.resolve())
    sys.modules[name] = module
    path_before, kept = sys.path, list(sys.path)
    folder = path.parent.resolve()
    sys.path.insert(0, str(folder))
    sys.path += [str(root) for root in (_project_of(folder),) if root is not None]
    try:
        with _users_code(file):
            exec(compile(text, file, "exec", dont_inherit=True), module.__dict__)
    except SyntaxError as error:
        raise SourceErrors([_syntax_diagnostic(file, error)]) from error
    finally:
        sys.path = path_before
        sys.path[:] = kept
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Scenario) and value.__module__ == name
    ]


def _project_of(folder: Path) -> Path | None:
    """Return the top of the project that *folder* is in, from which its files import; None without one."""
    marks = ("pyproject.toml", ".git")
    return next(
        (f for f in (folder, *folder.parents) if any((f / m).exists() for m in marks)), None
    )


_LARGEST_FILE = 16 << 20
"""Bytes of a protocol file; the largest that people write take some thousands."""


def _text_of(file: str) -> bytes:
    """Return what is in the Python file *file*.

    :raises UsageError: it cannot be one, or cannot be read.
    """
    path = Path(file)
    cure = "give the path of a Python file, FILE[:CLASS]"
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"there is no file {file}", cure) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {_reason(error)}", cure) from None
    if not stat.S_ISREG(found.st_mode):
        kind = "a directory" if stat.S_ISDIR(found.st_mode) else "not an ordinary file"
        raise UsageError(f"there is no file {file}: it is {kind}", cure)
    if path.suffix != ".py":
        raise UsageError(f"{file} is not a Python file", "name it with the ending .py")
    if found.st_size > _LARGEST_FILE:
        raise UsageError(
            f"{file} has {found.st_size:,} bytes", f"a protocol file may have {_LARGEST_FILE:,}"
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {_reason(error)}", cure) from None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _syntax_diagnostic(file: str, error: SyntaxError) -> Diagnostic:
    line = error.lineno or 1
    column = max(0, (error.offset or 1) - 1)
    end_line, end = error.end_lineno or line, (error.end_offset or 0) - 1
    if end_line != line or end <= column:
        end = column + 1
    loc = Loc(error.filename or file, line, column, line, end)
    return Diagnostic(
        loc, "python", f"not valid Python: {error.msg}",
        "the file has to be a Python file first", "make `python -m py_compile` accept it",
    )  # fmt: skip


def _pick(file: str, found: list[type[Scenario]], name: str) -> type[Scenario]:
    if not found:
        raise UsageError(f"{file} defines no scenario", "class MyScenario(Scenario): ...")
    if name:
        for scenario in found:
            if scenario.__name__ == name:
                return scenario
        known = ", ".join(s.__name__ for s in found)
        raise UsageError(f"{file} has no scenario {name}", f"it has {known}")
    if len(found) > 1:
        known = " or ".join(f"{file}:{s.__name__}" for s in found)
        raise UsageError(f"{file} has {len(found)} scenarios", f"say which: {known}")
    return found[0]
