# SPDX-License-Identifier: Apache-2.0
"""The answer to a dump of stuck tasks: which task is at the root, and what that one waits for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from quiesce.explain.judge.answer import Answer, Chain, Judgement, LadderRow
from quiesce.explain.judge.call_path import chain
from quiesce.explain.judge.missing import GET_IT
from quiesce.explain.judge.modes import plain_name
from quiesce.explain.judge.remedies import is_core
from quiesce.explain.judge.triggers import trigger_of
from quiesce.explain.judge.wait_functions import FROZEN
from quiesce.explain.judge.wait_graph import Has, Node, WaitGraph, build_graph
from quiesce.explain.read.model import PrintedReport

_MOST_NAMES = 4
_HOW_TO_SEE = (
    "To see who holds it: `echo d > /proc/sysrq-trigger` with lockdep, or `echo t` for all tasks."
)


def core_of(graph: WaitGraph) -> tuple[Node, ...]:
    """Return the tasks of the deadlock, else the one at the root: what is the same in each dump of it."""
    stuck = [index for index, node in enumerate(graph.nodes) if node.stuck]
    if not stuck:
        return ()
    path, cycle = _main_path(graph, stuck)
    return tuple(graph.nodes[index] for index in (path[cycle:] if cycle >= 0 else path[-1:]))


def answer_stuck(report: PrintedReport) -> Answer:
    """Return the answer to a dump of tasks."""
    graph = build_graph(report.tasks)
    stuck = [index for index, node in enumerate(graph.nodes) if node.stuck]
    if not stuck:
        return _nothing_stuck(report, graph)
    path, cycle = _main_path(graph, stuck)
    nodes = [graph.nodes[index] for index in path]
    if cycle > 0:  # the first tasks only wait for the cycle
        lead, nodes = nodes[:cycle], nodes[cycle:]
    else:
        lead = []
    rows = _rows(graph, path[-len(nodes) :], cycle >= 0)
    text = _deadlock(report, graph, nodes) if cycle >= 0 else _root(nodes)
    return Answer(
        Judgement.HUNG,
        text,
        tuple(rows),
        tuple(_notes(graph, path, nodes, lead, cycle >= 0)),
        tuple(_chains(nodes)),
        _fixes(nodes, cycle >= 0),
    )


def _nothing_stuck(report: PrintedReport, graph: WaitGraph) -> Answer:
    holders = [node for node in graph.nodes if node.has]
    text = "Hung: no stack of a blocked task is in this text."
    rows = [
        LadderRow(number, node.name, tuple(has.words for has in node.has))
        for number, node in enumerate(holders[:6], 1)
    ]
    return Answer(Judgement.HUNG, text, tuple(rows), notes=(_HOW_TO_SEE,))


def _main_path(graph: WaitGraph, stuck: Sequence[int]) -> tuple[list[int], int]:
    """Return the path that says most: one with a cycle, else the one to the root of most tasks."""
    paths = {index: graph.path_from(index) for index in stuck}
    for index in stuck:
        path, cycle = paths[index]
        if cycle == 0:
            return path, cycle
    roots = [paths[index][0][-1] for index in stuck]
    best = max(dict.fromkeys(roots), key=lambda root: (roots.count(root), -roots.index(root)))
    longest = max(
        (index for index in stuck if paths[index][0][-1] == best),
        key=lambda index: (len(paths[index][0]), -index),
    )
    return paths[longest]


# --- The verdict --------------------------------------------------------------------------------------


def _deadlock(report: PrintedReport, graph: WaitGraph, nodes: Sequence[Node]) -> str:
    inferred = any(node.wanted.inferred or _via(graph, node).inferred for node in nodes)
    listed = any(task.held for task in report.tasks)
    aside = ""
    if inferred:
        aside = " (inferred)" if listed else " (inferred; the dump lists no locks)"
    sentences = [
        f"{node.name} {_plain(_via(graph, node).words)} and {node.wanted.words}"
        for node in nodes[:2]
    ]
    more = f"; {len(nodes) - 2} more wait in the cycle" if len(nodes) > 2 else ""
    return f"Hung: deadlock{aside}. {'; '.join(sentences)}{more}."


def _plain(words: str) -> str:
    return words.partition(" (taken in")[0]


def _via(graph: WaitGraph, node: Node) -> Has:
    """Return what *node* has that the task before it in the cycle waits for."""
    index = graph.nodes.index(node)
    for edge in graph.edges:
        if edge.holder == index and edge.via is not None:
            return edge.via
    return Has("", "is waited for")


def _root(nodes: Sequence[Node]) -> str:
    root = nodes[-1]
    event = root.wanted.event
    if event is not None and event.starves:
        return f"Hung: {event.verdict}"
    if not root.stuck:
        held = root.has[0].words if root.has else "is waited for"
        doing = f" in {plain_name(root.task.frames[0].function)}()" if root.task.frames else ""
        return f"Hung: {root.name} {_plain(held)}{doing}. Why it keeps it is not shown."
    place = f" in {root.wanted.function}()" if root.wanted.function else ""
    text = f"Hung: {root.name} {root.wanted.words}{place}"
    if len(nodes) > 1:
        text += f", and {_others(nodes[:-1])} for it"
    if not root.wanted.function:
        text += ". Its stack is not whole in this text"
    if event is None and root.wanted.words.startswith("waits for"):
        text += f". Which task holds {root.wanted.name or 'it'} is not shown"
    return text + "."


def _others(nodes: Sequence[Node]) -> str:
    if len(nodes) == 1:
        return f"{nodes[0].name} waits"
    return f"{len(nodes)} tasks wait"


# --- Rows ---------------------------------------------------------------------------------------------


def _rows(graph: WaitGraph, path: Sequence[int], in_cycle: bool) -> Iterator[LadderRow]:
    count = len(path)
    for place, index in enumerate(path):
        node = graph.nodes[index]
        last = place == count - 1
        after = 1 if last and in_cycle else place + 2
        missing = last and not in_cycle
        arrow = f"<- {after}" if not missing or _missing_row(node) is not None else ""
        if not node.stuck:
            arrow = "<- none"
        yield LadderRow(place + 1, _who(node), _holds(graph, index, node), _waits(node), arrow)
    root = graph.nodes[path[-1]]
    row = None if in_cycle or not root.stuck else _missing_row(root)
    if row is not None:
        who, does = row
        yield LadderRow(count + 1, f"{who}, not in the report", (), does, "", False)


def _who(node: Node) -> str:
    place = f" in {node.wanted.function}()" if node.wanted.function else ""
    time = f", for more than {node.task.seconds} s" if node.task.seconds else ""
    return f"{node.name}{place}{time}"


def _holds(graph: WaitGraph, index: int, node: Node) -> tuple[str, ...]:
    """Return what *node* has that another task waits for; for a root all that it has."""
    waited = [edge.via for edge in graph.edges if edge.holder == index and edge.via is not None]
    words = list(dict.fromkeys(via.words for via in waited))
    others = [has.words for has in node.has if has.words not in words and not has.inferred]
    shown = words + [word for word in others if word.startswith("holds ")][:3]
    locks = [word.removeprefix("holds ") for word in shown if word.startswith("holds ")]
    rest = [word for word in shown if not word.startswith("holds ")]
    return (*rest, f"holds {', '.join(locks)}") if locks else tuple(rest)


def _waits(node: Node) -> str:
    if not node.stuck:
        return "runs" if node.task.state.startswith("R") else ""
    return node.wanted.words + (
        " (inferred)" if node.wanted.event is not None and node.wanted.inferred else ""
    )


def _missing_row(root: Node) -> tuple[str, str] | None:
    """Return the task that the root waits for and that the dump does not have; None if unknown."""
    event = root.wanted.event
    if event is not None:
        return (event.by, event.starves) if event.by else None
    if root.wanted.name:
        return f"a task that holds {root.wanted.name}", ""
    return None


# --- Notes, chains, fixes -----------------------------------------------------------------------------


def _notes(
    graph: WaitGraph,
    path: Sequence[int],
    nodes: Sequence[Node],
    lead: Sequence[Node],
    in_cycle: bool,
) -> Iterator[str]:
    root = nodes[-1]
    event = root.wanted.event
    if event is not None and not in_cycle:
        locks = " ".join(has.words for has in root.has)
        if event.notes:
            yield " ".join(text for lock, text in event.notes if lock in locks)
    inferred = list(dict.fromkeys(_sources(graph, nodes)))
    if inferred:
        assumed = (
            " Assumed: one disk." if any(h.key == FROZEN for n in nodes for h in n.has) else ""
        )
        yield f"Inferred from kernel source: {', '.join(inferred)}.{assumed}"
    waiting = [graph.nodes[i] for i in graph.waiters_of(path[-1]) if i not in path]
    waiting += list(lead)
    if waiting:
        names = ", ".join(node.name for node in waiting[:_MOST_NAMES])
        more = f" and {len(waiting) - _MOST_NAMES} more" if len(waiting) > _MOST_NAMES else ""
        verb = "waits" if len(waiting) == 1 else "wait"
        yield f"{names}{more} {verb} for these rows as well."
    apart = [
        node
        for index, node in enumerate(graph.nodes)
        if node.stuck and index not in path and node not in waiting
    ]
    if apart:
        first = apart[0]
        many = (
            f"{len(apart)} other stuck tasks wait" if len(apart) > 1 else "Another stuck task waits"
        )
        yield f"{many} for something else: {first.name} {first.wanted.words}."
    if not in_cycle and root.stuck and root.wanted.name and event is None:
        yield _HOW_TO_SEE


def _sources(graph: WaitGraph, nodes: Sequence[Node]) -> Iterator[str]:
    for node in nodes:
        via = _via(graph, node)
        for has in node.has:
            if has.inferred and has.function and has.words == via.words:
                what = "freezes the queue" if has.key == FROZEN else f"holds {has.key}"
                takes = ""
                if has.function == node.wanted.function and node.wanted.name:
                    takes = f" and takes {node.wanted.name}"
                yield f"{has.function}() {what}{takes}"


def _chains(nodes: Sequence[Node]) -> Iterator[Chain]:
    for number, node in enumerate(nodes, 1):
        if not node.task.frames:
            continue
        frames = node.task.frames
        start = next(
            (i for i, f in enumerate(frames) if plain_name(f.function) == node.wanted.function), 0
        )
        when = trigger_of(frames).when
        yield Chain("Blocked", f"{number}{', ' + when if when else ''}", chain(frames[start:]))


def _fixes(nodes: Sequence[Node], in_cycle: bool) -> tuple[str, ...]:
    root = nodes[-1]
    event = root.wanted.event
    if not in_cycle and root.stuck and not root.wanted.function:
        return (GET_IT,)
    if not in_cycle:
        return event.fixes if event is not None else ()
    frozen = [
        node for node in nodes if any(has.key == FROZEN for has in node.has) and node.wanted.name
    ]
    for node in frozen:
        name, function = node.wanted.name, node.wanted.function
        return (
            f"Take {name} before the queue is frozen, in {function}(). Both paths then take {name} "
            "first.",
        )
    named = [node for node in nodes if node.wanted.name and any(h.key for h in node.has)]
    named.sort(key=lambda node: is_core(node.has[0].key.partition("@")[0]) if node.has else True)
    for node in named[:1]:
        held = next((h.words for h in node.has if h.words.startswith("holds ")), "")
        lock = _plain(held).removeprefix("holds ")
        if lock:
            return (
                f"Take {node.wanted.name} before {lock}, in {node.wanted.function}() or its caller, or "
                f"drop {lock} first.",
            )
    return ()
