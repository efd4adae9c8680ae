# SPDX-License-Identifier: Apache-2.0
"""From ``FILE[:CLASS]`` and ``name=value`` on a command line to a scenario object."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from quiesce.errors import Diagnostic, Loc, QuiesceError, SourceErrors, UsageError
from quiesce.protocol import Scenario


def load_scenario(target: str, settings: Sequence[str]) -> Scenario:
    """Return the scenario that *target* names, built with *settings*.

    :param target: ``FILE`` or ``FILE:CLASS``; the class may be left out if the file has one scenario.
    :param settings: ``name=value`` for parameters of its constructor.
    :raises UsageError: there is no such file, class or parameter.
    :raises SourceErrors: the file is not valid Python.
    """
    file, class_name = split_target(target)
    return build(_pick(file, _import(file), class_name), settings)


def split_target(target: str) -> tuple[str, str]:
    """Return the file and the class of ``FILE[:CLASS]``."""
    file, colon, name = target.rpartition(":")
    if colon and name.isidentifier() and not Path(target).exists():
        return file, name
    return target, ""


def build(scenario: type[Scenario], settings: Sequence[str]) -> Scenario:
    """Return ``scenario(**settings)``, the values converted to the types of the defaults."""
    parameters = {
        name: p
        for name, p in inspect.signature(scenario.__init__).parameters.items()
        if name != "self" and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }
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
    try:
        return scenario(**values)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{scenario.__name__} cannot be built: {error}") from error


def _convert(name: str, text: str, default: object) -> object:
    if isinstance(default, bool):
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if text.lower() not in words:
            raise UsageError(f"--set {name}={text}: this is a yes-or-no parameter", f"{name}=true")
        return words[text.lower()]
    if isinstance(default, int) or (default is inspect.Parameter.empty and _is_integer(text)):
        if not _is_integer(text):
            raise UsageError(f"--set {name}={text}: this needs a whole number", f"{name}=2")
        return int(text)
    return text


def _is_integer(text: str) -> bool:
    return text.removeprefix("-").isdigit()


def _import(file: str) -> list[type[Scenario]]:
    """Import *file* and return the scenarios that it defines."""
    path = Path(file)
    if not path.is_file():
        raise UsageError(f"there is no file {file}", "give the path of a Python file, FILE[:CLASS]")
    name = f"quiesce_protocol_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{file} is not a Python file", "name it with the ending .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # What lies beside the file can be imported, and what lies where the user is, as with `python -m`.
    sys.path[:0] = [str(path.parent.resolve()), str(Path.cwd())]
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        column = (error.offset or 1) - 1
        line = error.lineno or 1
        loc = Loc(error.filename or file, line, column, error.end_lineno or line, column + 1)
        raise SourceErrors([Diagnostic(loc, "python", f"not valid Python: {error.msg}")]) from error
    except QuiesceError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        place = next((f for f in reversed(frames) if f.filename == str(path)), None)
        where = f"{file}:{place.lineno}" if place else file
        raise UsageError(f"{where}: {type(error).__name__}: {error}") from error
    finally:
        del sys.path[:2]
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Scenario) and value.__module__ == name
    ]


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
