"use strict";
// Every finding stands in #data; only what is looked at becomes elements.
const data = JSON.parse(document.getElementById("data").textContent);
const PAGE = { groups: 25, findings: 5, rows: 25, paper: 200 };
const RESOLVED = new Set(["passed", "skipped"]);
const text = index => data.texts[index];
const statuses = data.statuses.map(([word, glyph, severity]) => ({ word, glyph, severity }));
const implementations = data.implementations.map(text);
const checks = data.checks.map(([code, claim, group, sections]) => ({
  code: text(code), claim: text(claim), group: text(group), sections: sections.map(pair => pair.map(text)),
}));
const facets = new Map(data.cases.map(([name, dtype, mode]) => [name, { dtype: text(dtype), mode: text(mode) }]));
const findings = data.groups.flatMap(([implementation, check, prefix, rows]) =>
  rows.map(([status, name, command, reason = 0, hint = 0, comparisons = []]) => ({
    implementation: implementations[implementation], check: checks[check], status: statuses[status], case: text(name),
    ...facets.get(name), reason: text(reason), hint: text(hint), comparisons,
    command: (command ? text(command) : text(prefix) + text(name)).trim(),
  })));

/* What may be grouped by: the key of a finding, and what names its group. */
const BY = {
  check: { key: f => [f.implementation, f.check.code], label: f => [f.implementation, f.check.code], claim: true },
  implementation: { key: f => [f.implementation], label: f => [f.implementation] },
  code: { key: f => [f.check.code], label: f => [f.check.code], claim: true },
  case: { key: f => [f.case], label: f => [f.case] },
};
const form = document.getElementById("filter");
const list = document.getElementById("groups");
const said = document.getElementById("said");

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter(child => child !== ""));
  return made;
}
const code = shown => element("code", {}, shown);
function badge(status, shown = status.word) {
  return element("span", { class: `badge ${status.word}` }, element("span", { "aria-hidden": "true" }, status.glyph), ` ${shown}`);
}

function copyButton(command, label = "copy", name = "copy the command") {
  const button = element("button", { type: "button", class: "copy", "aria-label": name, title: command, onclick: () => copy(command, button, label) }, label);
  return button;
}
async function copy(words, button, label) {
  try {
    await navigator.clipboard.writeText(words);
  } catch {  // a page of a file may be refused the clipboard
    const field = element("textarea", { readonly: true }, words);
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    button.focus();
  }
  button.textContent = "copied";
  said.textContent = "Copied to the clipboard";
  setTimeout(() => { button.textContent = label; said.textContent = ""; }, 2000);
}

/* The filter and its text in the address. */
const every = statuses.map(status => status.word);
const troubled = findings.some(f => !RESOLVED.has(f.status.word));
const usual = troubled ? every.filter(word => !RESOLVED.has(word)) : every;
function chosen() {
  const values = Object.fromEntries(["implementation", "check", "dtype", "mode", "text", "by"].map(name => [name, form.elements[name].value]));
  return { ...values, status: every.filter(word => form.elements[word].checked) };
}
function address(filter) {
  const parameters = new URLSearchParams();
  for (const name of ["implementation", "check", "dtype", "mode", "text"]) if (filter[name]) parameters.set(name, filter[name]);
  if (filter.by !== "check") parameters.set("by", filter.by);
  const status = filter.status.join();
  if (status !== usual.join()) parameters.set("status", status === every.join() ? "all" : status);
  return `#findings${parameters.size ? "&" : ""}${parameters}`;
}
function read() {
  const [section, ...rest] = location.hash.slice(1).split("&");
  if (section !== "findings") return false;
  const parameters = new URLSearchParams(rest.join("&"));
  for (const name of ["implementation", "check", "dtype", "mode", "text"]) form.elements[name].value = parameters.get(name) ?? "";
  form.elements.by.value = BY[parameters.get("by")] ? parameters.get("by") : "check";
  const status = parameters.get("status") ?? usual.join();
  for (const word of every) form.elements[word].checked = status === "all" || status.split(",").includes(word);
  return true;
}
function matching(filter) {
  const wanted = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  const [kind, value] = filter.check.startsWith("group:") ? ["group", filter.check.slice(6)] : ["code", filter.check];
  return findings.filter(f => {
    if (!filter.status.includes(f.status.word) || (filter.implementation && f.implementation !== filter.implementation)) return false;
    if ((value && f.check[kind] !== value) || (filter.dtype && f.dtype !== filter.dtype) || (filter.mode && f.mode !== filter.mode)) return false;
    if (!wanted.length) return true;
    f.words ??= [f.implementation, f.check.code, f.check.claim, f.case, f.reason, f.hint].join("\n").toLowerCase();
    return wanted.every(word => f.words.includes(word));
  });
}

/* What a group and a finding look like. */
function explanation(check) {
  const details = element("details", { class: "explain" }, element("summary", {}, `What ${check.code} says: the mathematics, the usual cause`));
  details.append(element("p", {}, check.claim));
  for (const [title, body] of check.sections) {
    details.append(element("h5", {}, title));
    for (const part of body.split("\n\n")) details.append(element("p", part.startsWith(" ") ? { class: "formula" } : {}, part));
  }
  return check.sections.length ? details : "";
}
function evidence([place, distance, limit, within, relative, got, expected, band, trivial]) {
  const cell = (label, ...shown) => element("td", { "data-label": label }, ...shown);
  return element("tr", { class: within ? false : "beyond" },
    element("th", { scope: "row" }, code(text(place))), cell("got", text(got)), cell("expected", text(expected)),
    cell("error", text(distance), trivial ? element("span", { class: "soft" }, " (both zero)") : ""),
    cell("limit", `${text(limit)} ${within ? "✓ within" : "✗ beyond"}`),
    cell("relative error", text(relative), relative ? element("span", { class: "soft" }, ` ${text(band)}`) : ""));
}
function head(...names) {
  return element("thead", {}, element("tr", {}, ...names.map(name => element("th", { scope: "col" }, name))));
}
function inFull(f, labels, explained) {
  const shown = element("article", { class: `finding ${f.status.word}` },
    element("h4", {}, badge(f.status), ...labels(f).map(code)));
  if (f.reason) shown.append(element("p", { class: "reason" }, f.reason));
  if (f.comparisons.length) {
    shown.append(element("div", { class: "scroll" }, element("table", { class: "evidence" },
      head("quantity", "got", "expected", "error", "limit", "relative error"),
      element("tbody", {}, ...f.comparisons.map(evidence)))));
    for (const comparison of f.comparisons) {
      if (comparison[9]) shown.append(element("p", { class: "reason" }, code(text(comparison[0])), ` ${text(comparison[9])}`));
    }
  }
  if (f.hint) shown.append(element("p", { class: "hint" }, element("strong", {}, "Hint "), f.hint));
  if (f.command) shown.append(element("div", { class: "command" }, code(f.command), copyButton(f.command)));
  if (!explained) shown.append(explanation(f.check));
  return shown;
}
function inShort(f, labels) {
  const [place, distance, limit, , relative] = f.comparisons[0] ?? [];
  const nearest = f.comparisons.length ? [code(text(place)), ` ${text(distance)} `, element("span", { class: "soft" }, `(limit ${text(limit)})`)] : [f.reason || "no reason given"];
  return element("tr", {},
    element("td", {}, badge(f.status)), element("th", { scope: "row" }, ...labels(f).flatMap(label => [code(label), " "])),
    element("td", {}, ...nearest), element("td", {}, relative ? text(relative) : ""),
    element("td", {}, f.command ? copyButton(f.command, "copy command", `copy the command of ${labels(f).join(" ")}`) : ""));
}
/* Append rows by pages, with a button for the next. */
function paged(parent, items, make, size, after = parent) {
  let shown = 0;
  const button = element("button", { type: "button", class: "more", onclick: () => more(true) });
  function more(asked) {
    const first = items.slice(shown, shown + size).map(make);
    parent.append(...first);
    shown += first.length;
    button.textContent = `show ${Math.min(size, items.length - shown)} of ${(items.length - shown).toLocaleString("en")} more`;
    if (shown >= items.length) button.remove();
    else after.append(button);
    if (asked) (first[0].querySelector("summary, button") ?? first[0]).focus();
  }
  more(false);
}
function labelsWithout(by) {
  return { check: f => [f.case], implementation: f => [f.check.code, f.case], code: f => [f.implementation, f.case], case: f => [f.implementation, f.check.code] }[by];
}
function fill(body, members, by, limit = PAGE.findings) {
  const labels = labelsWithout(by);
  const full = members.filter(f => !RESOLVED.has(f.status.word));
  const short = members.filter(f => RESOLVED.has(f.status.word));
  if (BY[by].claim) body.append(explanation(members[0].check));
  if (full.length) {
    const block = body.appendChild(element("div"));
    paged(block, full, f => inFull(f, labels, BY[by].claim), limit, body.appendChild(element("div")));
  }
  if (short.length) {
    const rows = element("tbody");
    body.append(element("div", { class: "scroll" }, element("table", { class: "brief" },
      head("status", by === "check" ? "case" : "of", "nearest to its limit", "relative error", ""), rows)));
    paged(rows, short, f => inShort(f, labels), PAGE.rows, body.appendChild(element("div")));
  }
}
function groupElement({ members, worst }, by) {
  const first = members[0];
  const count = members.filter(f => f.status === worst).length;
  const body = element("div", { class: "inside" });
  const summary = element("summary", {}, badge(worst),
    element("span", { class: "label" }, ...BY[by].label(first).map(code), BY[by].claim ? element("span", {}, first.check.claim) : ""),
    element("span", { class: "soft tally" }, `${count} of ${members.length}`));
  const details = element("details", { class: RESOLVED.has(worst.word) ? "group" : "group unresolved" }, summary, body);
  details.fill = limit => { if (!body.childElementCount) fill(body, members, by, limit); };
  details.addEventListener("toggle", () => { if (details.open) details.fill(); });
  return details;
}

function render() {
  const filter = chosen();
  const found = matching(filter);
  const groups = new Map();
  for (const f of found) {
    const key = JSON.stringify(BY[filter.by].key(f));
    if (!groups.has(key)) groups.set(key, { members: [], worst: f.status });
    const group = groups.get(key);
    group.members.push(f);
    if (f.status.severity < group.worst.severity) group.worst = f.status;
  }
  const ordered = [...groups.values()].sort((a, b) => a.worst.severity - b.worst.severity);
  for (const group of ordered) group.members.sort((a, b) => a.status.severity - b.status.severity);
  list.replaceChildren();
  if (ordered.length) paged(list, ordered, group => groupElement(group, filter.by), PAGE.groups, document.getElementById("next"));
  document.getElementById("next").hidden = ordered.length <= PAGE.groups;
  if (ordered.length === 1) list.firstElementChild.open = true;
  const number = count => count.toLocaleString("en");
  form.elements.found.value = `${number(found.length)} of ${number(findings.length)} findings${ordered.length ? `, in ${number(ordered.length)} group${ordered.length > 1 ? "s" : ""}` : ""}`;
  document.getElementById("nothing").hidden = found.length > 0;
  return filter;
}
function changed() {
  history.replaceState(null, "", address(render()));
}
function follow() {
  if (!read()) return;
  render();
  document.getElementById("findings").scrollIntoView();
}

function options(select, values, label = value => value) {
  for (const value of values) select.append(element("option", { value }, label(value)));
}
if (form) {
  options(form.elements.implementation, implementations);
  for (const group of new Set(checks.map(check => check.group))) {
    const members = checks.filter(check => check.group === group);
    const part = form.elements.check.appendChild(element("optgroup", { label: group || "other" }));
    if (group) options(part, [`group:${group}`], () => `all of ${group}`);
    for (const check of members) part.append(element("option", { value: check.code }, `${check.code} ${check.claim}`));
  }
  const values = name => [...new Set(findings.map(f => f[name]))].filter(Boolean).sort();
  for (const name of ["dtype", "mode"]) options(form.elements[name], values(name));
  for (const word of every) form.elements[word].checked = usual.includes(word);
  let waiting;
  form.addEventListener("input", event => {
    clearTimeout(waiting);
    waiting = setTimeout(changed, event.target.type === "search" ? 150 : 0);
  });
  form.addEventListener("submit", event => event.preventDefault());
  document.getElementById("clear").addEventListener("click", () => {
    form.reset();
    for (const word of every) form.elements[word].checked = usual.includes(word);
    changed();
  });
  document.getElementById("link").addEventListener("click", event => {
    history.replaceState(null, "", address(chosen()));
    copy(location.href, event.currentTarget, "copy link to this view");
  });
  document.addEventListener("click", event => {  // a second click on the same link changes no address, but asks again
    const link = event.target.closest("a");
    if (link && link.hash.startsWith("#findings") && link.hash === location.hash) follow();
  });
  addEventListener("hashchange", follow);
  document.querySelector(".matrix").addEventListener("pointerover", event => {  // a tip for the mouse, written once
    const cell = event.target.closest(".cell");
    if (cell) cell.title = cell.getAttribute("aria-label");
  });
  form.hidden = false;
  if (read()) follow(); else render();

  addEventListener("beforeprint", () => {
    let left = PAGE.paper;
    for (const group of list.querySelectorAll(".unresolved")) {
      if (left <= 0) break;
      group.fill(left);
      group.open = true;
      left -= group.querySelectorAll(".finding").length;
    }
  });
}

/* What a mark of a chart is, beside the pointer: the drawing has it as its accessible name. */
const tip = document.getElementById("tip");
document.getElementById("charts")?.addEventListener("pointermove", event => {
  const mark = event.target.closest("svg [role=graphics-symbol]:not([aria-roledescription=axis], [aria-roledescription=legend], [aria-roledescription=title])");
  tip.hidden = !mark;
  if (!mark) return;
  tip.textContent = mark.getAttribute("aria-label").replaceAll("; ", "\n");
  tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)}px`;
});

for (const button of document.querySelectorAll("button[data-command]")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button.dataset.command, button, "copy"));
}
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details.operation")) details.open = true;
});

/* Light, dark, or as the system says. */
const scheme = document.getElementById("scheme");
function remember(value) {
  try { localStorage.setItem("bnbench-scheme", value); } catch { /* a page of a file may have no storage */ }
}
function paint(value) {
  document.documentElement.dataset.theme = value;
  scheme.value = value;
}
scheme.closest("label").hidden = false;
try { paint(localStorage.getItem("bnbench-scheme") ?? "auto"); } catch { paint("auto"); }
scheme.addEventListener("input", () => { paint(scheme.value); remember(scheme.value); });
