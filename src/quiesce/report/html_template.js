// SPDX-License-Identifier: Apache-2.0
// Draws the results of checks: a summary of all, then each with its counterexamples. Everything goes
// into the page as text, never as markup.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const main = document.getElementById("main");
  const views = []; // one for each counterexample with steps, in the order of the page
  let active = null; // the view that the keys work on

  // -- Small helpers ----------------------------------------------------------------------------

  function el(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null));
    return element;
  }

  const count = (number) => number.toLocaleString("en");
  const place = (file, line) => (file ? `${file.split("/").pop()}:${line}` : "");
  const listed = (names) => names.join(" and ");
  const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

  function shown(value) {
    if (value === null) return "None";
    if (value === true) return "True";
    if (value === false) return "False";
    if (Array.isArray(value)) return `{${value.map(shown).join(", ")}}`;
    return String(value);
  }

  // Lets a long name break where its parts meet, so that it need not break elsewhere.
  function breakable(text) {
    const parts = text.split(/(?<=[(.,>[])(?=\w|&)/);
    return parts.flatMap((part, i) => (i ? [el("wbr"), part] : [part]));
  }

  // A message has names between backticks.
  function message(text) {
    return text.split("`").map((part, i) => (i % 2 ? el("code", {}, part) : part));
  }

  function say(text) {
    document.getElementById("said").textContent = text;
  }

  // -- The summary: a row a property, a column a result -----------------------------------------

  const WORDS = { holds: "holds", violation: "VIOLATED", incomplete: "not decided", error: "error" };

  function nameResults() {
    const taken = new Set();
    for (const result of data.results) {
      result.label = result.design ?? result.scenario;
      result.id = result.label;
      for (let number = 2; taken.has(result.id); number += 1) result.id = `${result.label}-${number}`;
      taken.add(result.id);
    }
  }

  function address(...parts) {
    return `#${parts.map((part) => encodeURIComponent(part)).join("/")}`;
  }

  function summary() {
    const properties = new Map();
    for (const result of data.results) {
      for (const property of result.properties) properties.set(property.name, property);
    }
    const head = el("tr", {}, el("td"));
    for (const result of data.results) {
      head.append(el("th", { scope: "col" }, el("a", { href: address(result.id) }, result.label)));
    }
    const body = el("tbody", {}, summaryRow(["verdict"], (result) =>
      el("td", { class: `${result.verdict} verdict` }, result.verdict)));
    for (const [name, property] of properties) {
      const note = property.informational ? el("span", { class: "soft" }, " (for information)") : "";
      body.append(summaryRow([el("code", {}, name), note], (result) => propertyCell(result, name)));
    }
    return el("div", { class: "scroll" },
      el("table", { class: "summary" }, el("caption", {}, "What was asked, and the answers"),
        el("thead", {}, head), body, sizes()));
  }

  function summaryRow(heading, cell) {
    return el("tr", {}, el("th", { scope: "row" }, ...heading), ...data.results.map(cell));
  }

  function propertyCell(result, name) {
    const property = result.properties.find((one) => one.name === name);
    if (!property) return el("td", { class: "soft" }, "not asked");
    const soft = property.informational ? " informational" : "";
    const text = property.finding ?? WORDS[property.verdict];
    const told = counterexamples(result).some((one) => one.property === name);
    const link = told ? el("a", { href: address(result.id, name) }, text) : text;
    return el("td", { class: property.verdict + soft }, link);
  }

  function sizes() {
    const rows = [
      ["states", (result) => count(result.states)],
      ["steps", (result) => count(result.transitions)],
      ["depth", (result) => count(result.depth)],
      ["covered", (result) => (result.complete ? "the whole space" : "a part of the space")],
      ["seconds", (result) => result.seconds.toFixed(2)],
    ];
    if (data.results.some((result) => "lockdep" in result)) {
      rows.unshift(["lockdep", (result) => result.lockdep?.kind ?? (result.lockdep_incomplete_because ? "?" : "silent")]);
    }
    return el("tbody", { class: "sizes" }, ...rows.map(([name, value]) =>
      summaryRow([name], (result) => el("td", {}, value(result)))));
  }

  // -- One result -------------------------------------------------------------------------------

  function counterexamples(result) {
    const others = result.other_counterexamples ?? [];
    const first = result.counterexample;
    return first ? [{ ...first, replay: result.replay }, ...others] : others;
  }

  function resultSection(result) {
    const section = el("section", { class: "result", id: `result-${result.id}` },
      el("h2", {}, `${result.label}: `, el("span", { class: `${result.verdict} verdict` }, result.verdict)),
      el("p", {}, proof(result)),
      el("p", {}, `Fairness assumed: ${data.fairness[result.fairness] ?? result.fairness}.`));
    for (const note of result.notes ?? []) section.append(el("p", { class: "soft" }, `Note: ${note}.`));
    if (result.verdict === "holds") section.append(...proved(result));
    if (result.never_executed?.length) section.append(...neverExecuted(result));
    counterexamples(result).forEach((found, i) => section.append(counterexample(result, found, i)));
    if (result.lockdep) section.append(lockdep(result.lockdep));
    return section;
  }

  function proof(result) {
    const size = `${plural(result.states, "state")}, ${plural(result.transitions, "step")}, depth ${count(result.depth)}`;
    const by = `by the ${result.engine} explorer in ${result.seconds.toFixed(2)} s`;
    if (result.complete) {
      return `The whole space was searched, every way to go on from every state: ${size}, ${by}. `
        + "A property that holds is proved for this scenario.";
    }
    const why = result.incomplete_because ? ` (${result.incomplete_because})` : "";
    return `Only a part of the space was visited${why}: ${size}, ${by}. `
      + "What was not found there is not proved to be absent.";
  }

  function proved(result) {
    const names = (kind) => result.properties
      .filter((one) => one.verdict === "holds" && data.witnessed.includes(one.kind) === kind)
      .map((one) => one.name);
    const parts = [el("h3", {}, "What was proved"), nameList("In every run", names(false))];
    const seen = names(true);
    if (seen.length) parts.push(nameList("And not for want of trying: these states are reached", seen));
    return parts;
  }

  // What no reachable state executes: a list, and the source with these lines marked.
  function neverExecuted(result) {
    const items = result.never_executed.map((one) => el("li", {},
      el("code", {}, place(one.file, one.line)), " ", ...(one.kind === "statement"
        ? [el("code", {}, one.text)] : message(one.text))));
    const parts = [el("h3", {}, "What never executed"),
      el("p", {}, "No reachable state executes these. A proof says nothing about them."),
      el("ul", { class: "never" }, ...items)];
    for (const [file, text] of Object.entries(result.sources ?? {})) {
      const lines = new Set(result.never_executed.filter((one) => one.file === file).map((one) => one.line));
      parts.push(el("details", {}, el("summary", {}, el("code", {}, file)), markedSource(text, lines)));
    }
    return parts;
  }

  function markedSource(text, lines) {
    const rows = text.split("\n").map((line, i) => el("span", lines.has(i + 1)
      ? { class: "line never", title: "never executed" } : { class: "line" },
    `${lines.has(i + 1) ? "-" : " "} ${String(i + 1).padStart(4)}  ${line}\n`));
    return el("pre", { tabindex: "0", class: "source" }, ...rows);
  }

  function nameList(title, names) {
    const paragraph = el("p", {}, `${title}: `);
    names.forEach((name, i) => paragraph.append(i ? ", " : "", el("code", {}, name)));
    paragraph.append(".");
    return paragraph;
  }

  function lockdep(report) {
    const chain = (report.chain ?? []).map((link) => link.cls?.name).filter(Boolean);
    const parts = [el("h3", {}, `lockdep: ${report.title}`)];
    if (chain.length) {
      parts.push(el("p", {}, "Each of these locks was taken with the next one held, and the last with the first: "),
        el("p", {}, el("code", {}, chain.join("  ←  "))));
    }
    if (report.note) parts.push(el("p", {}, report.note));
    if (report.text) {
      parts.push(el("details", {}, el("summary", {}, "The report as the kernel prints it"),
        el("pre", { tabindex: "0" }, report.text)));
    }
    return el("div", {}, ...parts);
  }

  // -- One counterexample: the interleaving on the left, the state on the right -------------------

  // The one that decides is open; others, and what is for information only, wait to be opened.
  function counterexample(result, found, number) {
    const open = number === 0 && result.counterexample ? "" : null;
    const about = el("p", { class: "about violation" }, ...message(found.message));
    const trace = el("div", { class: "trace" }, about);
    const title = el("summary", {}, el("h3", {}, el("code", {}, found.property), `: ${found.kind}`));
    const box = el("details", { class: "counterexample", open }, title, trace);
    if (!found.initial) return box;
    const view = { result, found, at: found.steps.length, rows: [], all: false };
    view.key = [result.id, found.property];
    if (found.replay) about.after(replay(view));
    view.panel = el("div", {
      class: "state", role: "region", tabindex: "0", "aria-label": `State, ${result.label}, ${found.property}`,
    });
    trace.append(...(found.spinning ?? []).map(spins));
    trace.append(el("div", { class: "scroll" }, interleaving(view)), view.panel);
    view.box = box;
    views.push(view);
    return box;
  }

  function replay(view) {
    view.command = `quiesce replay ${view.found.replay}`;
    const button = el("button", { type: "button" }, "Copy the replay command");
    button.addEventListener("click", () => copy(view));
    return el("div", { class: "replay" }, button, el("code", { title: view.command }, view.command));
  }

  async function copy(view) {
    try {
      await navigator.clipboard.writeText(view.command);
    } catch {
      // Some browsers keep the clipboard from pages on disk; the old way still works there.
      const box = el("textarea", { class: "unseen" });
      box.value = view.command;
      document.body.append(box);
      box.select();
      document.execCommand("copy");
      box.remove();
    }
    say("The replay command is in the clipboard.");
  }

  // Where a thread spins, on what, and which thread set it so.
  function spins(one) {
    const items = one.on.map((watched) => el("li", {}, el("code", {}, watched.name), ` is ${shown(watched.value)}`,
      watched.set_by ? ` since step ${watched.step}, by ${watched.set_by}` : ", which no thread has changed"));
    return el("div", {}, el("p", {}, `${one.thread} spins at `, el("code", {}, place(one.file, one.line)), ": ",
      el("code", {}, one.loop)), el("ul", { class: "never" }, ...items));
  }

  function interleaving(view) {
    const { found } = view;
    const columns = takingPart(found);
    const grid = `grid-${views.length}`;
    const head = el("tr", {}, el("th", { scope: "col" }, el("span", { class: "unseen" }, "step")));
    columns.forEach((name, i) => head.append(el("th", { scope: "col", id: `${grid}-${i}` }, name)));
    head.append(el("th", { scope: "col" }, el("span", { class: "unseen" }, "source line")));
    const table = el("table", {
      class: "steps code", role: "grid", id: grid,
      "aria-label": `Interleaving, ${view.result.label}, ${found.property}`,
      style: `min-width: ${10 + 12 * columns.length}rem`,
    }, columnWidths(found, columns), el("thead", {}, head));
    const cells = (thread, lines) => columnCells(grid, columns, thread, lines);
    const stem = el("tbody", {}, stepRow(view, columns, cells, 0));
    table.append(stem);
    let body = stem;
    const looping = found.loop_start !== null && found.loop_start < found.steps.length;
    found.steps.forEach((step, index) => {
      if (looping && index === found.loop_start) {
        body.append(...waitingRows(neverMoving(found), cells, () => "never gets any further"));
        body = el("tbody", { class: "loop" }, remarkRow(columns, "... and from here on, over and over:"));
        table.append(body);
      }
      body.append(stepRow(view, columns, cells, index + 1));
    });
    if (looping) {
      body.append(remarkRow(columns, "... and so on forever."));
    } else if (isAboutWaiting(found)) {
      body.append(...waitingRows(standing(found), cells, (one) => waitsFor(found.waiting, one)));
    }
    return table;
  }

  // A row has one thread's text only, which may run on to the right of its column; the last thread's
  // cannot, so its column is wider.
  function columnWidths(found, columns) {
    const longest = Math.max(6, ...found.steps.map((step) => place(step.file, step.line).length));
    const group = el("colgroup", {}, el("col", { style: "width: 6ch" }));
    columns.forEach((name, i) => {
      const last = i === columns.length - 1;
      group.append(el("col", { style: last ? null : `width: ${Math.floor(75 / (columns.length + 0.6))}%` }));
    });
    group.append(el("col", { style: `width: ${Math.min(longest, 28) + 2}ch` }));
    return group;
  }

  const isAboutWaiting = (found) =>
    data.waiting.includes(found.kind) || found.loop_start !== null;

  // A daemon that took no step merely stands there: it may wait forever.
  function standing(found) {
    const moved = new Set(found.steps.map((step) => step.thread));
    const daemons = new Set(found.threads.filter((one) => one.daemon).map((one) => one.name));
    return found.waiting.filter((one) => moved.has(one.thread) || !daemons.has(one.thread));
  }

  function neverMoving(found) {
    const moving = new Set(found.steps.slice(found.loop_start).map((step) => step.thread));
    return standing(found).filter((one) => !moving.has(one.thread));
  }

  function takingPart(found) {
    const named = new Set(found.steps.map((step) => step.thread));
    if (isAboutWaiting(found)) for (const one of standing(found)) named.add(one.thread);
    const columns = found.threads.map((one) => one.name).filter((name) => named.has(name));
    return columns.length ? columns : found.threads.map((one) => one.name);
  }

  // Those that hold the lock; else, as no lock is free for all, those that queue for it as well.
  function inTheWay(waiting, one) {
    if (one.held_by.length) return { how: "held by", names: listed(one.held_by) };
    const queued = waiting.filter((other) => one.lock && other.lock === one.lock && other !== one);
    return queued.length ? { how: "behind", names: listed(queued.map((other) => other.thread)) } : null;
  }

  function waitsFor(waiting, one) {
    const others = inTheWay(waiting, one);
    if (one.itself) {
      const itself = `for a lock that it holds itself since :${one.itself.line}`;
      if (!others) return `waits ${itself}`;
      return others.how === "behind" ? `waits behind ${others.names}, ${itself}`
        : `waits ${itself}, and for ${others.names}`;
    }
    if (others) return `waits ${others.how === "behind" ? "behind" : "for"} ${others.names}`;
    return !one.lock && one.at.startsWith("schedule") ? "sleeps" : "waits";
  }

  function waitsForLock(waiting, one) {
    if (!one.lock) return waitsFor(waiting, one);
    const others = inTheWay(waiting, one);
    return `waits for ${one.lock}${others ? `, ${others.how} ${others.names}` : ""}`;
  }

  function stepRow(view, columns, cells, number) {
    const step = view.found.steps[number - 1];
    const row = el("tr", { class: "step", "aria-selected": "false", tabindex: "-1" },
      el("td", { class: "number" }, String(number)));
    if (!step) {
      row.append(el("td", { colspan: columns.length, class: "soft" }, "the initial state"), el("td"));
    } else {
      const lines = step.actions.map((action) => el("div", {}, ...breakable(action.shown ?? action.text)));
      if (step.failure) lines.push(el("div", { class: "failure" }, `<- ${step.failure}`));
      row.append(...cells(step.thread, lines));
      row.append(el("td", { class: "place", title: step.file }, place(step.file, step.line)));
    }
    row.addEventListener("click", () => select(view, number));
    view.rows[number] = row;
    return row;
  }

  function columnCells(grid, columns, thread, lines) {
    const number = columns.indexOf(thread);
    const empty = columns.slice(0, number).map(() => el("td"));
    return [...empty, el("td", { colspan: columns.length - number, headers: `${grid}-${number}` }, ...lines)];
  }

  function waitingRows(waiting, cells, why) {
    return waiting.map((one) => {
      const remark = el("div", { class: "remark" }, `<- ${why(one)}`);
      const row = el("tr", {}, el("td"), ...cells(one.thread, [el("div", {}, ...breakable(one.shown ?? one.at)), remark]));
      row.lastChild.colSpan += 1; // no source line stands to its right
      return row;
    });
  }

  function remarkRow(columns, text) {
    return el("tr", {}, el("th", { colspan: columns.length + 2 }, text));
  }

  // -- The state after the selected step ----------------------------------------------------------

  function showState(view) {
    const { found, at } = view;
    const step = found.steps[at - 1];
    const state = step ? step.state : found.initial;
    const before = at > 1 ? found.steps[at - 2].state : found.initial;
    const after = step ? `After step ${at} of ${found.steps.length}` : "The initial state";
    const title = step ? `${after}: ${step.thread}` : after;
    view.panel.replaceChildren(
      el("h3", {}, title),
      ...threadsList(state, step),
      ...sharedTable(view, state, before));
  }

  function threadsList(state, step) {
    const list = el("dl", {});
    const waiting = step ? step.waiting : [];
    for (const [name, thread] of Object.entries(state.threads)) {
      const moved = step && step.thread === name;
      list.append(el("dt", {}, moved ? `${name} (moved)` : name));
      const at = thread.at === "finished" ? "finished" : `at ${thread.at}, line ${thread.line}`;
      list.append(el("dd", { class: "code" }, ...breakable(at)));
      const locals = Object.entries(thread.locals).map(([local, value]) => `${local} = ${shown(value)}`);
      if (locals.length) list.append(el("dd", { class: "code" }, locals.join(", ")));
      for (const lock of step?.held[name] ?? []) {
        const mode = lock.mode === "exclusive" ? "" : ` (${lock.mode})`;
        const how = lock.annotation ? " (an annotation, not a lock)" : mode;
        list.append(el("dd", { class: "code" }, `holds ${lock.lock}${how}, taken at ${place(lock.file, lock.line)}`));
      }
      for (const one of waiting.filter((other) => other.thread === name)) {
        list.append(el("dd", { class: "code waits" }, ...breakable(waitsForLock(waiting, one))));
      }
    }
    return [el("h3", {}, "Threads"), list];
  }

  function sharedTable(view, state, before) {
    const touched = (view.touched ??= touchedBy(view.found));
    const body = el("tbody", {});
    for (const [name, value] of Object.entries(state.shared)) {
      if (!view.all && !touched.has(name)) continue;
      const changed = !same(value, before.shared[name]);
      const cell = el("td", { class: "code" }, shown(value));
      if (changed) cell.append(el("span", { class: "was" }, `  (was ${shown(before.shared[name])})`));
      body.append(el("tr", { class: changed ? "changed" : null },
        el("th", { scope: "row", class: "code" }, ...breakable(name)), cell));
    }
    const box = el("input", { type: "checkbox" });
    box.checked = view.all;
    box.addEventListener("change", () => {
      view.all = box.checked;
      showState(view);
      view.panel.querySelector("input").focus();
    });
    const hidden = Object.keys(state.shared).length - touched.size;
    const label = el("label", {}, box, ` also show the ${hidden} that this run never changes`);
    return [el("h3", {}, "Shared variables"), hidden ? label : null, el("table", {}, body)]
      .filter((one) => one !== null);
  }

  function touchedBy(found) {
    const touched = new Set();
    let before = found.initial.shared;
    for (const step of found.steps) {
      for (const [name, value] of Object.entries(step.state.shared)) {
        if (!same(value, before[name])) touched.add(name);
      }
      before = step.state.shared;
    }
    return touched;
  }

  // -- Selecting: by mouse, by key, by address ----------------------------------------------------

  function mark(view, number) {
    view.rows[view.at].setAttribute("aria-selected", "false");
    view.rows[view.at].tabIndex = -1;
    view.at = Math.max(0, Math.min(view.found.steps.length, number));
    view.rows[view.at].setAttribute("aria-selected", "true");
    view.rows[view.at].tabIndex = 0;
    showState(view);
  }

  function select(view, number) {
    active = view;
    view.box.open = true;
    mark(view, number);
    view.rows[view.at].focus({ preventScroll: true });
    view.rows[view.at].scrollIntoView({ block: "nearest" });
    history.replaceState(null, "", address(...view.key, view.at));
  }

  // Like select, but from elsewhere on the page: the whole counterexample comes into sight.
  function show(view, number) {
    view.box.open = true;
    view.box.scrollIntoView({ block: "start" });
    select(view, number);
  }

  function move(by) {
    if (!views.length) return;
    if (active) select(active, active.at + by);
    else show(views[0], by > 0 ? 1 : views[0].at);
  }

  function otherView(by) {
    if (!views.length) return;
    const number = active ? views.indexOf(active) + by : 0;
    const view = views[Math.max(0, Math.min(views.length - 1, number))];
    show(view, view.at);
  }

  function follow() {
    // The parts are compared as they were written: an address that is not one of the page fits nothing.
    const [name, property = "", step = ""] = location.hash.slice(1).split("/");
    const view = views.find((one) => address(...one.key) === `#${name}/${property}`);
    const result = data.results.find((one) => address(one.id) === `#${name}`);
    if (view) show(view, /^\d+$/.test(step) ? Number(step) : view.at);
    else if (result) document.getElementById(`result-${result.id}`).scrollIntoView({ block: "start" });
  }

  const KEYS = {
    j: () => move(1),
    k: () => move(-1),
    n: () => otherView(1),
    p: () => otherView(-1),
    g: () => active && select(active, 0),
    G: () => active && select(active, active.found.steps.length),
    c: () => active?.command && copy(active),
  };
  // These scroll the page, except where a step has the focus.
  const GRID_KEYS = { ArrowDown: KEYS.j, ArrowUp: KEYS.k, Home: KEYS.g, End: KEYS.G };

  function onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const inGrid = event.target.closest?.("[role=grid]");
    const action = KEYS[event.key] ?? (inGrid ? GRID_KEYS[event.key] : undefined);
    if (!action) return;
    event.preventDefault();
    action();
  }

  nameResults();
  main.append(summary());
  for (const result of data.results) main.append(resultSection(result));
  for (const view of views) mark(view, view.at);
  document.addEventListener("keydown", onKey);
  window.addEventListener("hashchange", follow);
  follow();
})();
