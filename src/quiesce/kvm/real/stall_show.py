# SPDX-License-Identifier: Apache-2.0
"""The result of ``quiesce kvm stall`` as text for a terminal, as JSON, and as a page with a picture."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from quiesce.kvm.real.stall import Host, StallResult
from quiesce.kvm.real.stall_result import BOUNDS, Group, Measured, histogram, quantile

BAR = 30
"""Columns of the longest bar."""


def stall_text(result: StallResult) -> str:
    """Return the whole result for a terminal."""
    lines = [*_head(result), ""]
    for group in result.groups:
        lines += [*_group(result, group), ""]
    lines += [f"note: {note}" for note in result.notes]
    return "\n".join([*lines, ""])


def _head(result: StallResult) -> list[str]:
    request, where = result.request, result.host
    storms = "native threads (numba)"
    if result.plain:
        storms = f"plain threads, a weaker storm, and no native gates: {result.plain}"
    quiet = result.quiet
    return [
        _host_line(where),
        f"storms: {storms}; load: {request.load} busy processes; memory "
        f"{'of' if request.related else 'unrelated to'} the VM; "
        f"{'a vCPU runs' if request.vcpu else 'no vCPU'}",
        f"without a storm: {len(quiet.updates):,} updates, p50 {shown_ms(quantile(quiet.updates, 0.5))}, "
        f"max {shown_ms(quiet.worst)}",
    ]


def _host_line(where: Host) -> str:
    source = "" if where.slice_read else " (assumed)"
    return (
        f"Linux {where.kernel}, {where.flavour}, {where.cores} cores, preemption {where.preemption}, "
        f"slice {where.slice_ms:.1f} ms{source}"
    )


def _group(result: StallResult, group: Group) -> list[str]:
    lines = [f"{group.threads} threads" + " " * 10 + "updates      p50      p99      max   storm/s"]
    rows: list[tuple[str, Measured]] = [(f"kernel, {m.what}", m) for m in group.storms]
    if group.control is not None:
        rows.append(("kernel, spin control", group.control))
    rows += [(f"gate {m.what}", m) for m in group.gates]
    for name, measured in rows:
        updates = measured.updates
        p50, p99 = shown_ms(quantile(updates, 0.5)), shown_ms(quantile(updates, 0.99))
        end = "  until the storm was stopped" if measured.until_stopped else ""
        lines.append(
            f"  {name:<20} {len(updates):>7,} {p50:>8} {p99:>8} {shown_ms(measured.worst):>8} "
            f"{measured.rate:>9,.0f}{end}"
        )
    for storm in group.storms:
        lines += ["", *_storm(result, group, storm)]
    return lines


def _storm(result: StallResult, group: Group, storm: Measured) -> list[str]:
    worst = max(storm.excess, default=0.0)
    base = max(group.control.excess, default=0.0) if group.control is not None else None
    control = (
        f"; of the spin control: {shown_ms(base)}" if base is not None else "; no control was run"
    )
    lines = [f"  {storm.what}: worst excess over the rejected request {shown_ms(worst)}{control}"]
    share = storm.looks.share if storm.looks is not None else None
    known = "unknown" if share is None else f"{share:.0%}"
    if storm.looks is not None and not storm.looks.readable:
        known = "unknown, since stacks can be read by root only"
    if result.provoked(group, storm):
        lines.append("  Updates stall.")
    else:
        lines.append("  Not provoked here.")
    lines.append(f"  preemptions between start and end: {known}")
    predicted = result.prediction(storm)
    if predicted is not None:
        lines.append(
            f"  expected wait by that share: {shown_ms(predicted)}; measured at most: {shown_ms(worst)}"
        )
    lines += _late(storm)
    return [*lines, *_bars(storm, group.control)]


def _late(storm: Measured) -> list[str]:
    looks = storm.looks
    if looks is None or not looks.counting + looks.grace + looks.elsewhere:
        return []
    age, parked, functions = looks.latest
    lines = [
        f"  late updates were seen waiting for the count {looks.counting} times, for the grace period "
        f"{looks.grace}, elsewhere {looks.elsewhere}"
    ]
    if parked:
        where = ", ".join(f"{name} {count}" for name, count in sorted(functions.items()))
        lines.append(
            f"  at {shown_ms(age)} of the latest: {parked} invalidators between start and end: {where}"
        )
    return lines


def _bars(storm: Measured, control: Measured | None) -> list[str]:
    """Return the histogram of the excess: the storm's updates and the control's in each class."""
    lines = bars(storm.excess, control.excess if control is not None else [], "storm", "control")
    return ["  excess:", *lines] if lines else ["  no update was finished"]


def bars(
    values: Sequence[float], beside: Sequence[float] = (), name: str = "", other: str = ""
) -> list[str]:
    """Return a histogram as lines: how many of *values*, in ms, are in each class, with a bar.

    :param beside: other values, whose numbers stand in a second column if *other* names it.
    """
    mine, theirs = histogram(values), histogram(beside)
    used = [i for i, counts in enumerate(zip(mine, theirs, strict=True)) if any(counts)]
    if not used:
        return []
    lines = [f"  {'':>10}  {name:>7} {other:>7}"] if other else []
    most = max(*mine, 1)
    for i in range(used[0], used[-1] + 1):
        bar = "#" * math.ceil(BAR * math.log1p(mine[i]) / math.log1p(most))
        second = f" {theirs[i]:>7,}" if other else ""
        lines.append(f"  {_class(i):>10}  {mine[i]:>7,}{second}  {bar}".rstrip())
    return lines


def _class(number: int) -> str:
    if number < len(BOUNDS):
        return f"< {shown_ms(BOUNDS[number])}"
    return f">= {shown_ms(BOUNDS[-1])}"


def shown_ms(value: float) -> str:
    """Return a time in ms with its unit, three digits."""
    if value == math.inf:
        return "forever"
    if value >= 1e7:
        return f"{value / 3.6e6:,.0f} h"
    if value >= 1000:
        return f"{value / 1000:.3g} s" if value < 1e6 else f"{value / 1000:,.0f} s"
    return f"{value:.3g} ms" if value >= 0.01 else f"{value * 1000:.2g} us"


def stall_json(result: StallResult) -> dict[str, object]:
    """Return the whole result as JSON."""
    request, where = result.request, result.host
    return {
        "schema": 1,
        "kernel": where.kernel,
        "flavour": where.flavour,
        "cores": where.cores,
        "preemption": where.preemption,
        "slice_ms": where.slice_ms,
        "slice_read": where.slice_read,
        "load": request.load,
        "related": request.related,
        "vcpu": request.vcpu,
        "native": not result.plain,
        "native_missing": result.plain or None,
        "seconds": round(result.seconds, 3),
        "histogram_bounds_ms": list(BOUNDS),
        "quiet": result.quiet.to_dict(),
        "groups": [_group_json(result, group) for group in result.groups],
        "notes": result.notes,
    }


def _group_json(result: StallResult, group: Group) -> dict[str, object]:
    storms = []
    for storm in group.storms:
        predicted = result.prediction(storm)
        finite = predicted is not None and math.isfinite(predicted)
        storms.append(
            {
                **storm.to_dict(),
                "provoked": result.provoked(group, storm),
                "predicted_ms": round(predicted, 3) if finite and predicted is not None else None,
            }
        )
    return {
        "threads": group.threads,
        "kernel": storms,
        "control": group.control.to_dict() if group.control is not None else None,
        "gates": {measured.what: measured.to_dict() for measured in group.gates},
    }


# --- The page ------------------------------------------------------------------------------------------

_WIDTH, _HEIGHT, _LEFT, _TOP = 640, 240, 50, 20
_LOWEST, _HIGHEST = 0.01, 100_000.0
_COLORS = ("#b03030", "#888888", "#305fb0", "#b08030", "#30904f", "#704090")


def stall_html(result: StallResult) -> str:
    """Return a page with a picture for each number of threads: which share of updates took how long."""
    parts = [
        "<!doctype html><meta charset='utf-8'><title>quiesce kvm stall</title>",
        "<style>body{font:14px sans-serif;max-width:60em;margin:2em auto}pre{overflow:auto}"
        "svg{background:#fff}text{font:11px sans-serif}</style>",
        "<h1>How long memslot updates take during invalidations</h1>",
        "<p>Each line shows the share of updates (vertical) that took at most so long (horizontal, "
        "logarithmic).</p>",
    ]
    for group in result.groups:
        parts += [f"<h2>{group.threads} threads</h2>", _picture(group)]
    parts.append(f"<pre>{html.escape(stall_text(result))}</pre>")
    return "\n".join(parts) + "\n"


def _picture(group: Group) -> str:
    rows = [(f"kernel, {m.what}", m) for m in group.storms]
    if group.control is not None:
        rows.append(("kernel, spin control", group.control))
    rows += [(f"gate {m.what}", m) for m in group.gates]
    height = _TOP + _HEIGHT + 40 + 16 * len(rows)
    svg = [f"<svg width='{_WIDTH + _LEFT + 20}' height='{height}' role='img'>"]
    for ms in (0.01, 0.1, 1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0):
        x = _x(ms)
        svg.append(
            f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{_TOP}' y2='{_TOP + _HEIGHT}' stroke='#ddd'/>"
        )
        svg.append(f"<text x='{x - 14:.1f}' y='{_TOP + _HEIGHT + 15}'>{shown_ms(ms)}</text>")
    for share in (0.0, 0.5, 1.0):
        svg.append(f"<text x='8' y='{_y(share) + 4:.1f}'>{share:.0%}</text>")
    for number, (name, measured) in enumerate(rows):
        color = _COLORS[number % len(_COLORS)]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in _curve(measured.updates))
        svg.append(f"<polyline points='{points}' fill='none' stroke='{color}' stroke-width='2'/>")
        y = _TOP + _HEIGHT + 38 + 16 * number
        svg.append(f"<text x='{_LEFT}' y='{y}' fill='{color}'>{html.escape(name)}</text>")
    return "".join([*svg, "</svg>"])


def _curve(values: list[float]) -> list[tuple[float, float]]:
    ordered = sorted(values)
    points = [(_x(_LOWEST), _y(0.0))]
    step = max(1, len(ordered) // 400)
    for number in [*range(0, len(ordered), step), len(ordered) - 1]:
        if number >= 0:
            points.append((_x(ordered[number]), _y((number + 1) / len(ordered))))
    return points


def _x(ms: float) -> float:
    share = math.log(max(ms, _LOWEST) / _LOWEST) / math.log(_HIGHEST / _LOWEST)
    return _LEFT + _WIDTH * min(1.0, share)


def _y(share: float) -> float:
    return _TOP + _HEIGHT * (1 - share)
