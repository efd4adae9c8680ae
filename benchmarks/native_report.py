# SPDX-License-Identifier: Apache-2.0
"""The measurements of ``native_peers.py`` as the page ``docs/performance.md``."""

from __future__ import annotations

from typing import Any

_HEAD = """# Performance

This page is written by `make bench`; the figures beside it are in `benchmarks/results.json`.

All tools search the same protocol with the same steps, and the numbers of states and transitions are equal
to the last one, or the benchmark fails. One core, no reductions, medians of three runs in which the tools
take turns. Seconds are CPU seconds of the search. Spin is `spin -o1 -o2 -o3 -a`, then
`gcc -O2 -DSAFETY -DNOREDUCE`, then `pan -w` with about as many slots in its hash table as there are states.
*C* is `benchmarks/models/count.c`, a breadth-first search written by hand for this one protocol. *count* is
the protocol with which other checkers were compared: 3,568,650 states with six notifiers.
Compare the ratios: the machine is a shared one with 2 cores. Where other work keeps them busy, what is
measured by the clock (two cores, the first verdict) says little.

"""


def page(results: dict[str, Any]) -> str:
    """Return the page as Markdown."""
    parts = [
        _HEAD,
        _machine(results.get("machine")),
        _cases(results["cases"]),
        _cores(results["cores"]),
    ]
    parts.append(_whole_check(results["whole_check"]))
    parts += [
        _growth(results["growth"], results["spin_on_16"]),
        _first_verdict(results["first_verdict"]),
    ]
    parts.append(f"Not installed where this was measured: {', '.join(results['not_found'])}.\n")
    return "".join(parts)


def _machine(machine: dict[str, Any] | None) -> str:
    if machine is None:
        return ""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    load = ", ".join(map(str, machine["load"]))
    return (
        f"Measured on {machine['processor']}, {machine['cores']} cores, load before it began {load} "
        f"(1, 5, 15 minutes); {versions}. Spin is the faster one of its depth-first and its breadth-first "
        "search (`-DBFS`).\n\n"
    )


def _cases(cases: dict[str, Any]) -> str:
    lines = [
        "| protocol | tool | states | transitions | seconds | states/s | ratio | bytes/state | peak MB |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, case in cases.items():
        spin = case["runs"].get("spin")
        for run in case["runs"].values():
            rate = run["states"] / run["seconds"]
            ratio = f"{rate / (spin['states'] / spin['seconds']):.1f}" if spin else "-"
            lines.append(
                f"| {name} | {run['tool']} | {run['states']:,} | {run['transitions']:,} | "
                f"{run['seconds']:.2f} | {rate:,.0f} | {ratio} | {run['bytes_per_state']:.0f} | "
                f"{run['peak_bytes'] / 1e6:.0f} |"
            )
    note = (
        "\n*ratio*: states per second, Spin = 1. *bytes/state*: what the visited set, the order of discovery "
        "and the parents take; for Spin what it reports for states and hash table; for C, peak memory.\n\n"
    )
    return "\n".join(lines) + "\n" + note


def _cores(cores: list[dict[str, Any]]) -> str:
    lines = [
        f"{c['model']}: {c['one']:.2f} s on one core, {c['two']:.2f} s on two, by the clock: "
        f"{c['speedup']:.2f} times as fast.\n"
        for c in cores
    ]
    return "## Two cores\n\n" + "\n".join(lines) + "\n"


def _whole_check(check: dict[str, Any]) -> str:
    return (
        "## A whole check\n\nEverything that a check decides, starvation of each thread under the default "
        f"fairness included, of the count protocol with {check['notifiers']} notifiers without symmetry, all "
        f"cores: {check['seconds']:.0f} s by the clock, {check['peak_bytes'] / 1e6:,.0f} MB. First a search "
        f"with partial order, {check['states']:,} states and {check['transitions']:,} transitions, then one "
        "without, on which starvation is decided.\n\n"
    )


def _growth(growth: list[dict[str, Any]], spin: dict[str, Any]) -> str:
    lines = [
        "## More notifiers, symmetry on\n",
        "*count* is the protocol above, *count-vcpu* the same with one vCPU, whose faults retry. Seconds are "
        "CPU seconds, on two cores. Of threads that are alike only one is let move, which is why there are "
        "fewer transitions than other tools count.\n",
        "| protocol | notifiers | states | transitions | seconds | peak MB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in growth:
        lines.append(
            f"| {row['model']} | {row['notifiers']} | {row['states']:,} | {row['transitions']:,} | "
            f"{row['seconds']:.2f} | {row['peak_bytes'] / 1e6:.0f} |"
        )
    if spin:
        how = "finished" if spin["complete"] else "was stopped by its memory limit"
        lines.append(
            f"\nSpin on *count* with {spin['notifiers']} notifiers {how}: {spin['states']:,} states, "
            f"{spin['seconds']:.0f} s, {spin['peak_bytes'] / 1e6:,.0f} MB."
        )
    return "\n".join(lines) + "\n\n"


def _first_verdict(times: dict[str, float]) -> str:
    shown = ", ".join(f"{tool} {seconds:.2f} s" for tool, seconds in times.items())
    return (
        "## From the source file to the verdict\n\nThe count protocol with two notifiers, everything anew "
        f"(for Spin: `spin -a`, `gcc -O2`, `pan`), by the clock: {shown}.\n\n"
    )
