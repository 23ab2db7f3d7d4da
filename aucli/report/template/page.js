"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const study = JSON.parse($("study").textContent);
  const LEVEL = 50, TENTHS = 10, NOTHING = -1;
  const STEP_ROWS = 150; // rows that are drawn at once
  const WORDS = { small: "small", blurred: "blurred", turned: "turned away", dark: "too dark", cut: "cut off", flat: "no contrast" };
  const QUALITY_NOTE = { stop: "cannot be used as it is", look: "look before use", note: "good to know" };

  // Elements. Text of the study only ever becomes text, never markup.
  function h(tag, told, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(told || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (name === "style") Object.assign(made.style, value);
      else made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }
  const plural = (count, one) => `${count.toLocaleString("en")} ${one}${count === 1 ? "" : "s"}`;

  // Colours: light to dark on a light page, dark to light on a dark one, so that 0 is the page.
  const RAMPS = {
    light: [[255, 255, 255], [237, 246, 203], [183, 226, 188], [91, 190, 194], [30, 128, 184], [33, 74, 153], [10, 29, 92]],
    dark: [[23, 26, 31], [38, 50, 92], [42, 96, 131], [38, 141, 134], [84, 190, 104], [178, 220, 60], [253, 238, 120]],
  };
  const LINES = {
    light: ["#0072b2", "#d55e00", "#007a5a", "#b8508b", "#8a6d00", "#4b4b9f", "#2a9bd6", "#6b6b6b"],
    dark: ["#56b4e9", "#ff8f3f", "#2fcf9f", "#e79ac6", "#f0d24a", "#a8a8ff", "#9fd8ff", "#bdbdbd"],
  };
  // Lengths in px, as of Plotly and SVG: every curve has its own, for grey print.
  const DASHES = ["solid", "8px,4px", "2px,3px", "8px,3px,2px,3px", "14px,4px", "8px,3px,2px,3px,2px,3px", "4px,4px", "14px,3px,2px,3px"];
  let printing = false;
  const isDark = () => document.documentElement.dataset.theme === "dark";
  const ramp = () => RAMPS[isDark() ? "dark" : "light"];
  function mix(share) {
    const stops = ramp(), at = Math.min(Math.max(share, 0), 1) * (stops.length - 1), i = Math.min(Math.floor(at), stops.length - 2);
    return stops[i].map((low, k) => Math.round(low + (stops[i + 1][k] - low) * (at - i)));
  }
  const rgb = (colour) => `rgb(${colour.join(",")})`;
  const inkOn = (c) => (0.2126 * (c[0] / 255) ** 2.2 + 0.7152 * (c[1] / 255) ** 2.2 + 0.0722 * (c[2] / 255) ** 2.2 > 0.3 ? "#14181d" : "#ffffff");
  const plotlyScale = () => ramp().map((c, i, all) => [i / (all.length - 1), rgb(c)]);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Times.
  function clock(ms) {
    const tenths = Math.round(ms / 100), minutes = Math.floor(tenths / 600), rest = (tenths % 600) / 10;
    const hours = Math.floor(minutes / 60), tail = rest.toFixed(1).padStart(4, "0");
    return hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
  }
  function long(seconds) {
    if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
    const minutes = Math.round(seconds / 60);
    return minutes < 60 ? `${Math.floor(seconds / 60)}:${String(Math.round(seconds % 60) % 60).padStart(2, "0")} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  }

  // Theme: as the system, until the reader chooses.
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try { chosen = localStorage.getItem("aucli-theme"); } catch { /* a file may have no storage */ }
  function theme() {
    document.documentElement.dataset.theme = printing ? "light" : chosen || (system.matches ? "dark" : "light");
    document.documentElement.style.colorScheme = document.documentElement.dataset.theme;
    document.querySelectorAll(".ramp").forEach((ramp) => { ramp.style.background = `linear-gradient(90deg, ${RAMPS[isDark() ? "dark" : "light"].map(rgb)})`; });
  }
  system.addEventListener("change", () => { theme(); redraw(); });
  $("theme").addEventListener("click", () => {
    chosen = isDark() ? "light" : "dark";
    try { localStorage.setItem("aucli-theme", chosen); } catch { /* it is lost with the page */ }
    theme(); redraw();
  });
  let open = null; // the row that is shown in detail: its data, chosen AUs, moment and range of time
  function redraw() { drawRows(); drawDetail(); }
  $("print").addEventListener("click", () => print());
  addEventListener("beforeprint", () => {
    printing = true; theme();
    if (open?.data) { drawDetail(); place(); } else { shown = order.length; drawRows(); }
  });
  addEventListener("afterprint", () => { printing = false; theme(); redraw(); });

  // Packed parts: in the page, or in files beside it.
  const waiting = new Map(), packed = new Map();
  globalThis.aucliTake = (name, text) => { packed.set(name, text); };
  function part(name) {
    if (waiting.has(name)) return waiting.get(name);
    const found = (async () => {
      const here = $(`part-${name}`);
      if (here) packed.set(name, here.textContent);
      else await script({ src: `${encodeURIComponent(study.files)}/${name}.js` });
      const bytes = Uint8Array.from(atob(packed.get(name)), (c) => c.charCodeAt(0));
      packed.delete(name);
      return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
    })();
    waiting.set(name, found);
    found.catch(() => waiting.delete(name));
    return found;
  }
  function script({ src, text }) {
    return new Promise((resolve, reject) => {
      const made = document.createElement("script");
      made.nonce = $("page").nonce;
      if (src) { made.src = src; made.onload = resolve; made.onerror = () => reject(new Error(`${study.files} is not beside the page`)); }
      else made.textContent = text;
      document.head.append(made);
      if (!src) resolve();
    });
  }
  let loading = null;
  function plotly() {
    loading ||= part("plotly").then((text) => script({ text })).then(() => { waiting.delete("plotly"); return globalThis.Plotly; });
    return loading;
  }

  // The overview.
  const rows = study.rows.map((row, index) => ({ ...row, index, words: [row.video, row.person, row.state === "done" ? (row.calibrated ? "calibrated" : "not calibrated") : "", ...row.flags.map((flag) => flag[2])].join("\n").toLowerCase() }));
  const WHAT = rows.some((row) => row.unrelated) ? "input" : "video";
  const folderOf = (row) => (row.video.includes("/") ? row.video.slice(0, row.video.lastIndexOf("/")) : "");
  const kinds = new Map();
  for (const row of rows) for (const kind of new Set(row.flags.map((flag) => flag[0]))) kinds.set(kind, (kinds.get(kind) || 0) + 1);
  const heavy = (row) => row.flags.some((flag) => flag[1] !== "note");
  const weight = (row) => Math.max(0, ...row.flags.map((flag) => ({ stop: 100, look: 10, note: 1 })[flag[1]])) + row.flags.length / 100;
  const columns = [
    { key: "video", name: WHAT === "input" ? "Input" : "Video", value: (row) => `${row.video}\n${row.person}`, up: true },
    { key: "seconds", name: "Length", number: true, value: (row) => row.seconds ?? row.frames },
    { key: "found", name: "Face", number: true, value: (row) => row.found, title: "Share of the frames with this face" },
    { key: "good", name: "Good", number: true, value: (row) => row.good, title: "Share of the face's frames in which nothing is wrong with the picture" },
    { key: "flags", name: "To know", value: weight },
    ...study.aus.map((au) => ({ key: au, au, name: au.replace("AU", "").replace(/^0/, ""), title: `${au} ${study.names[au]}`, value: (row) => row.p95?.[au] })),
  ];
  const state = { search: "", kind: "", folder: "", sort: "video", reverse: false };
  let order = [], shown = STEP_ROWS;

  function calibration(done) {
    const without = done.filter((row) => !row.calibrated).length;
    if (without === done.length) return "Intensities are not calibrated: a face at rest may read above 0.";
    if (!without) return "Intensities are calibrated: what the face reads at rest was subtracted.";
    return `${without} of ${plural(done.length, "row")} ${without === 1 ? "is" : "are"} not calibrated, the others are: compare only rows of the same kind. The search finds “not calibrated”.`;
  }
  function lead() {
    const videos = new Set(rows.map((row) => row.video)).size;
    const failed = rows.filter((row) => row.state === "failed").length;
    const done = rows.filter((row) => row.state === "done");
    const median = (values) => { const sorted = values.filter((v) => v !== null && v !== undefined).sort((a, b) => a - b); return sorted.length ? sorted[sorted.length >> 1] : null; };
    const words = [plural(videos, WHAT)];
    if (done.length !== videos - failed) words.push(plural(done.length, "person").replace("persons", "people"));
    if (study.seconds) words.push(`${long(study.seconds)} in all`);
    $("lead").textContent = `${words.join(", ")}. ${calibration(done)}` + (study.passed_over ? ` ${plural(study.passed_over, "face")} seen for a moment only, or not chosen, ${study.passed_over === 1 ? "is" : "are"} left out.` : "");
    const tiles = [
      plural(videos, WHAT).split(" "),
      [`${median(done.map((row) => row.found)) ?? "–"} %`, "of the frames show the face (median)"],
      [done.filter((row) => heavy(row)).length, "to look at before use"],
      [failed, "failed"],
    ];
    $("tiles").replaceChildren(...tiles.map(([number, name]) => h("li", {}, h("b", {}, String(number)), h("span", {}, name))));
    const privacy = $("privacy");
    privacy.hidden = !study.pictured;
    privacy.textContent = study.blurred
      ? "The pictures of faces on this page are blurred. Movements and names of files can still tell who a person is."
      : `This page holds pictures of faces. They are biometric data: keep and share the page as you keep and share the ${WHAT}s.`;
  }
  function option(value, text) { return h("option", { value }, text); }
  function controls() {
    $("kind").append(option("", "everything"), option("flagged", `to look at (${rows.filter(heavy).length})`), option("clean", `nothing to look at (${rows.filter((row) => !heavy(row)).length})`), ...[...kinds].sort().map(([kind, count]) => option(`=${kind}`, `${kind} (${count})`)));
    const folders = [...new Set(rows.map(folderOf))].sort();
    $("folders").hidden = folders.length < 2;
    $("folder").append(option("*", "all"), ...folders.map((folder) => option(folder, folder || "(none)")));
    state.folder = "*";
    $("sort").append(...columns.map((column) => option(column.key, column.au ? column.title : column.name)));
    for (const [id, key] of [["search", "search"], ["kind", "kind"], ["folder", "folder"]]) {
      $(id).addEventListener("input", () => { state[key] = $(id).value; arrange(); });
    }
    $("sort").addEventListener("input", () => sortBy($("sort").value, false));
    $("turn").addEventListener("input", () => { state.reverse = $("turn").checked; arrange(); });
    $("filters").addEventListener("submit", (event) => event.preventDefault());
    const head = h("tr");
    for (const column of columns) {
      head.append(h("th", { scope: "col", "data-key": column.key, class: column.au ? "au" : column.number ? "number" : null },
        h("button", { type: "button", title: column.title, onclick: () => sortBy(column.key, state.sort === column.key && !state.reverse), "aria-label": column.title ? `${column.title}: sort` : null }, column.name)));
    }
    $("rows").tHead.append(head);
  }
  function sortBy(key, reverse) {
    state.sort = key; state.reverse = reverse;
    $("sort").value = key; $("turn").checked = reverse;
    arrange();
  }
  function arrange() {
    const wanted = state.search.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const column = columns.find((each) => each.key === state.sort);
    order = rows.filter((row) => wanted.every((word) => row.words.includes(word))
      && (state.folder === "*" || folderOf(row) === state.folder)
      && (!state.kind || (state.kind === "flagged" ? heavy(row) : state.kind === "clean" ? !heavy(row) : row.flags.some((flag) => `=${flag[0]}` === state.kind))));
    const sign = (column.up ? 1 : -1) * (state.reverse ? -1 : 1);
    const compare = new Intl.Collator("en", { numeric: true }).compare;
    const lacks = (value) => value === null || value === undefined || value === NOTHING;
    order.sort((a, b) => {
      const one = column.value(a), other = column.value(b);
      if (lacks(one) || lacks(other)) return lacks(one) - lacks(other) || a.index - b.index; // what lacks is last
      return sign * (column.up ? compare(one, other) : one - other) || a.index - b.index;
    });
    shown = STEP_ROWS;
    $("count").textContent = order.length === rows.length ? `${plural(rows.length, "row")}` : `${order.length} of ${plural(rows.length, "row")}`;
    for (const th of $("rows").tHead.querySelectorAll("th")) {
      if (th.dataset.key === state.sort) th.setAttribute("aria-sort", (column.up ? 1 : -1) * (state.reverse ? -1 : 1) > 0 ? "ascending" : "descending");
      else th.removeAttribute("aria-sort");
    }
    drawRows();
  }
  function square(au, row) {
    const p95 = row.p95?.[au], strong = row.strong?.[au];
    if (p95 === undefined || p95 === NOTHING) return h("td", { class: "heat", "data-au": au.replace("AU", "") }, h("div"), h("div"));
    const time = strong?.[0] ?? null, above = mix(p95 / LEVEL / 5), share = strong && (time !== null || row.frames > 1) ? strong[1] / 100 : 0, below = mix(share);
    const short = time === null ? (strong?.[1] && row.frames > 1 ? String(strong[1]) : "") : time >= 99.5 ? `${Math.round(time / 60)}m` : time >= 9.95 ? String(Math.round(time)) : time ? time.toFixed(1) : "";
    const told = `${au} ${study.names[au]}: 95th percentile ${(p95 / LEVEL).toFixed(1)}; at 2 or more ${time === null ? "" : `for ${long(time)}, `}${strong ? strong[1] : 0} % of the time`;
    return h("td", { class: "heat", "data-au": au.replace("AU", ""), title: told },
      h("div", { class: p95 / LEVEL < 0.5 ? "low" : null, style: { background: rgb(above), color: inkOn(above) } }, (p95 / LEVEL).toFixed(1)),
      h("div", { style: { background: rgb(below), color: inkOn(below) } }, short));
  }
  function flagList(flags) { return h("ul", { class: "flags" }, ...flags.map(([, heft, text]) => h("li", { class: heft, title: QUALITY_NOTE[heft] }, text))); }
  function drawRow(row) {
    const file = row.video.slice(row.video.lastIndexOf("/") + 1), folder = folderOf(row);
    const name = row.state === "done" ? h("a", { href: `#v${row.index}` }, file) : h("strong", {}, file);
    const below = [row.person, folder].filter(Boolean).join(" · ");
    const icon = row.icon ? h("img", { src: row.icon, alt: "", width: 38, height: 38, decoding: "async" }) : study.pictured ? h("span", { class: "none" }) : null;
    const id = h("td", { class: "wide" }, h("div", { class: "id" }, icon, h("div", {}, name, below ? h("small", {}, below) : null)));
    if (row.state !== "done") return h("tr", { "data-row": row.index }, id, h("td", { colspan: columns.length - 1, class: "wide" }, flagList(row.flags)));
    const poor = Object.entries(row.poor).map(([word, share]) => `${WORDS[word]} ${share} %`).join(", ");
    return h("tr", { "data-row": row.index, onclick: (event) => { if (!event.target.closest("a") && !String(getSelection())) location.hash = `v${row.index}`; } },
      id,
      h("td", { class: "number", "data-name": "Length" }, row.seconds === null ? plural(row.frames, row.unrelated ? "picture" : "frame") : long(row.seconds)),
      h("td", { class: "number", "data-name": "Face" }, `${row.found} %`),
      h("td", { class: "number", "data-name": "Good", title: poor || "nothing wrong with the picture of the face" }, row.good === null ? "" : `${row.good} %`),
      h("td", { class: "wide" }, row.flags.length ? flagList(row.flags) : ""),
      ...study.aus.map((au) => square(au, row)));
  }
  function drawRows() {
    $("rows").tBodies[0].replaceChildren(...order.slice(0, shown).map(drawRow));
    more();
  }
  function more() {
    const left = order.length - shown;
    $("more").textContent = !order.length ? "No row fits." : left > 0 ? `${left} more rows appear as you scroll.` : "";
  }
  new IntersectionObserver((seen) => {
    if (!seen.some((entry) => entry.isIntersecting) || shown >= order.length || $("overview").hidden) return;
    const next = order.slice(shown, shown + STEP_ROWS);
    shown += next.length;
    $("rows").tBodies[0].append(...next.map(drawRow));
    more();
  }, { rootMargin: "1200px" }).observe($("more"));

  // One row in detail.
  async function route() {
    const match = /^#v(\d+)$/.exec(location.hash), row = match && rows[Number(match[1])];
    if (!row || row.state !== "done") {
      open = null;
      $("detail").hidden = true; $("overview").hidden = false; document.title = study.title;
      return;
    }
    const asked = { row };
    open = asked;
    $("overview").hidden = true; $("detail").hidden = false; $("sheet").hidden = true; $("wait").hidden = false; $("eventsbox").hidden = true;
    $("wait").textContent = "Reading ...";
    const name = row.person ? `${row.video}, ${row.person}` : row.video;
    document.title = `${name} - ${study.title}`;
    $("who").textContent = name;
    const facts = [row.seconds === null ? plural(row.frames, row.unrelated ? "picture" : "frame") : `${long(row.seconds)}, ${plural(row.frames, "frame")}`, `face in ${row.found} %`];
    if (row.good !== null) facts.push(`picture of the face good in ${row.good} %`);
    facts.push(...Object.entries(row.poor).map(([word, share]) => `${WORDS[word]} in ${share} %`), `baseline: ${row.baseline}`);
    $("facts").textContent = facts.join(" · ");
    $("flags").replaceChildren(...flagList(row.flags).children);
    neighbours(row);
    scrollTo(0, 0);
    $("detail").focus({ preventScroll: true });
    try {
      const [Plotly, text] = await Promise.all([plotly(), part(`d${row.index}`)]);
      if (open !== asked) return;
      Object.assign(asked, prepare(row, JSON.parse(text)), { Plotly });
    } catch (error) {
      if (open === asked) $("wait").textContent = `The details cannot be read: ${error.message}.`;
      throw error;
    }
    $("wait").hidden = true; $("sheet").hidden = false;
    drawDetail();
    $("detail").dataset.ready = row.index;
  }
  function neighbours(row) {
    const there = order.filter((each) => each.state === "done"), at = there.indexOf(row);
    for (const [id, other] of [["before", there[at - 1]], ["after", at < 0 ? null : there[at + 1]]]) {
      $(id).hidden = !other;
      if (other) $(id).href = `#v${other.index}`;
    }
  }
  const real = (values) => values.map((value) => (value === NOTHING ? null : value / LEVEL));
  function prepare(row, data) {
    const sides = data.left ? { left: data.left.map(real), right: data.right.map(real) } : null;
    const levels = data.levels.map(real);
    const half = data.timed ? 0 : 0.5; // dots are not cut off
    const first = (data.t[0] ?? 0) - half, last = Math.max((data.t.at(-1) ?? 0) + half, first + 1);
    // A page opens at what fills the most of its curves; blinks are many and seldom what is asked for.
    const blink = (i) => data.aus[i] === "AU45" || data.aus[i] === "AU43";
    const rank = data.aus.map((au, i) => [row.strong[au]?.[1] ?? 0, data.p95[i], i]).sort((a, b) => blink(a[2]) - blink(b[2]) || b[0] - a[0] || b[1] - a[1]);
    const size = (event) => event[5] * (event[3] - event[1]) * (blink(event[0]) ? 0 : 1);
    const strongest = data.events.reduce((best, event) => (!best || size(event) > size(best) ? event : best), null);
    const chosen = [...new Set([...(strongest ? [strongest[0]] : []), ...rank.map((each) => each[2])])].slice(0, 3).sort((a, b) => a - b);
    return { data, levels, sides, chosen, first, last, range: [first, last], at: strongest ? strongest[2] : data.moments[0]?.t ?? data.t[0] ?? 0, allEvents: false };
  }
  const axisTime = (t) => (open.data.timed ? t / 1000 : t);
  const named = (t) => open.data.names?.[open.data.t.indexOf(Math.round(t))] || `${open.row.unrelated ? "picture" : "frame"} ${Math.round(t)}`;
  const inGap = (t) => open.data.gaps.some(([begin, end]) => t >= begin && t < end);
  const said = (t) => (open.data.timed ? clock(t) : named(t));
  function nearest(sorted, t) {
    let low = 0, high = sorted.length - 1;
    while (low < high) { const middle = (low + high) >> 1; if (sorted[middle] < t) low = middle + 1; else high = middle; }
    return low > 0 && t - sorted[low - 1] < sorted[low] - t ? low - 1 : low;
  }
  const styleOf = (place) => ({ color: LINES[isDark() ? "dark" : "light"][place % 8], dash: DASHES[place % 8] });

  function drawDetail() {
    if (!open?.data) return;
    const still = open.data.t.length < 2; // one picture has no curves
    $("sheet").classList.toggle("still", still);
    document.querySelector(".time").hidden = $("cursor").parentElement.hidden = still;
    drawAus(); drawCurves(); drawSides(); drawEvents();
    const cursor = $("cursor");
    cursor.min = 0; cursor.max = open.data.t.length - 1;
    $("origins").replaceChildren(...open.data.origins.map((text) => h("li", {}, text)));
    const notes = [];
    if (!open.sides) notes.push("Left and right are not in this table; analyze --sides adds them.");
    if (open.data.gaps.length) notes.push(open.row.person ? "Grey: this face is not seen." : "Grey: no face.");
    if (open.data.timed && open.data.events.length === 0) notes.push("No event was found.");
    $("curvesnote").textContent = notes.join(" ");
    move(open.at);
  }
  // The beginning of a curve, as its own button shows it.
  function stroke(style) {
    const line = s("line", { x1: 0, y1: 1.5, x2: "100%", y2: 1.5 });
    if (style) { line.style.stroke = style.color; line.style.strokeDasharray = style.dash === "solid" ? "none" : style.dash; }
    const svg = s("svg", { "aria-hidden": "true" });
    svg.append(line);
    return svg;
  }
  function drawAus() {
    $("aus").replaceChildren(...open.data.aus.map((au, i) => {
      const place = open.chosen.indexOf(i), style = place >= 0 ? styleOf(place) : null;
      const line = stroke(style);
      return h("button", { type: "button", "aria-pressed": String(place >= 0), title: study.names[au], "data-au": au, onclick: () => toggle(i) }, line, au);
    }));
  }
  function toggle(i) {
    const chosen = open.chosen;
    open.chosen = chosen.includes(i) ? chosen.filter((each) => each !== i) : [...chosen, i].slice(-8).sort((a, b) => a - b);
    const focused = document.activeElement?.dataset?.au;
    drawAus(); drawCurves();
    if (focused) $("aus").querySelector(`[data-au="${focused}"]`)?.focus();
  }

  // The curves: one figure of Plotly, panels below each other with one time axis.
  function drawCurves() {
    if (open.data.t.length < 2) return;
    const { data, levels, sides, chosen, Plotly } = open;
    const narrow = innerWidth < 700;
    const x = data.t.map(axisTime), mode = data.timed ? "lines" : "markers";
    const soft = css("--soft"), line = css("--line"), ink = css("--ink"), paper = "rgba(0,0,0,0)";
    const words = Object.keys(data.quality);
    const panels = [["map", data.aus.length * (narrow ? 15 : 16)], ["lines", 170], ...(sides ? [["sides", 110]] : []), ["pose", 110], ...(words.length ? [["quality", words.length * 18 + 4]] : [])];
    const gap = 34, height = panels.reduce((sum, panel) => sum + panel[1], 0) + gap * (panels.length - 1);
    const margin = { l: narrow ? 44 : words.length ? 84 : 58, r: narrow ? 8 : 14, t: 20, b: 34 };
    const layout = {
      height: height + margin.t + margin.b, margin, paper_bgcolor: paper, plot_bgcolor: paper, font: { family: getComputedStyle(document.body).fontFamily, size: 11.5, color: soft },
      showlegend: false, hovermode: "x", hoverdistance: 40, dragmode: "zoom", annotations: [], shapes: [],
      hoverlabel: { bgcolor: css("--paper"), bordercolor: css("--edge"), font: { color: ink, size: 11.5 } },
      xaxis: { range: open.range.map(axisTime), anchor: "y9", gridcolor: line, zeroline: false, ticks: "outside", ticklen: 4, tickcolor: line, fixedrange: false, title: { text: data.timed ? "seconds" : open.row.unrelated ? "picture" : "frame", standoff: 6 }, ...(data.timed || data.t.length > 20 ? {} : { dtick: 1 }) },
    };
    const traces = [];
    let top = height, last = "y";
    const axes = {};
    panels.forEach(([name, size], place) => {
      const id = place ? `y${place + 1}` : "y", key = `yaxis${place ? place + 1 : ""}`;
      axes[name] = id; last = id;
      layout[key] = { domain: [(top - size) / height, top / height], fixedrange: true, gridcolor: line, zeroline: false, ticks: "" };
      const title = { map: data.timed ? "Every AU; bars mark events, dots their apex" : "Every AU", lines: `Intensity${chosen.length ? "" : ": choose AUs below"}`, sides: "Left minus right (above 0: the person's left is stronger)", pose: `Head, degrees: ${data.timed ? "pitch ——, yaw – –, roll ···" : "pitch ●, yaw ■, roll ✕"}`, quality: "Quality" }[name];
      layout.annotations.push({ text: title, xref: "paper", x: 0, xanchor: "left", yref: "paper", y: top / height, yanchor: "bottom", showarrow: false, font: { size: narrow ? 10.5 : 11.5, color: ink } });
      top -= size + gap;
    });
    layout.xaxis.anchor = last;
    const map = layout.yaxis;
    Object.assign(map, { autorange: false, range: [data.aus.length - 0.5, -0.5], tickvals: data.aus.map((_, i) => i), ticktext: data.aus, showgrid: false, tickfont: { size: narrow ? 10 : 11 } });
    traces.push({ type: "heatmap", x, y: data.aus.map((_, i) => i), z: levels, zmin: 0, zmax: 5, colorscale: plotlyScale(), showscale: false, ygap: 1.5, hoverinfo: "skip", yaxis: "y" });
    const bars = { x: [], y: [] };
    for (const [au, onset, , offset] of data.events) { bars.x.push(onset / 1000, offset / 1000, null); bars.y.push(au + 0.32, au + 0.32, null); }
    const mark = isDark() ? "#ffffff" : "#1b1f24";
    traces.push({ type: "scatter", mode: "lines", x: bars.x, y: bars.y, line: { color: mark, width: 2 }, hoverinfo: "skip", yaxis: "y" });
    traces.push({ type: "scatter", mode: "markers", x: data.events.map((event) => event[2] / 1000), y: data.events.map((event) => event[0] + 0.32), marker: { color: mark, size: 5, line: { color: css("--paper"), width: 1 } }, hoverinfo: "skip", yaxis: "y" });
    Object.assign(layout[`yaxis${axes.lines.slice(1)}`], { range: [0, 5.1], tickvals: [0, 1, 2, 3, 4, 5], ticktext: ["0", "1 A", "2 B", "3 C", "4 D", "5 E"] });
    chosen.forEach((i, place) => traces.push({ type: "scatter", mode, name: data.aus[i], x, y: levels[i], line: { ...styleOf(place), width: 1.7 }, marker: { color: styleOf(place).color }, connectgaps: false, yaxis: axes.lines, hovertemplate: `${data.aus[i]} %{y:.1f}<extra></extra>` }));
    if (sides) {
      const differences = chosen.map((i) => sides.left[i].map((value, k) => (value === null || sides.right[i][k] === null ? null : value - sides.right[i][k])));
      const most = Math.max(1, ...differences.flat().map((value) => Math.abs(value || 0)));
      Object.assign(layout[`yaxis${axes.sides.slice(1)}`], { range: [-most * 1.05, most * 1.05], nticks: 5, zeroline: true, zerolinecolor: css("--edge") });
      chosen.forEach((i, place) => traces.push({ type: "scatter", mode, x, y: differences[place], line: { ...styleOf(place), width: 1.4 }, marker: { color: styleOf(place).color }, yaxis: axes.sides, hovertemplate: `${data.aus[i]} %{y:+.1f}<extra></extra>` }));
    }
    const names = ["pitch (chin down)", "yaw (to the left)", "roll"];
    Object.assign(layout[`yaxis${axes.pose.slice(1)}`], { nticks: 5, zeroline: true, zerolinecolor: css("--edge") });
    data.pose.forEach((curve, k) => traces.push({ type: "scatter", mode, marker: { color: ink, symbol: ["circle", "square", "x"][k] }, x, y: curve.map((v) => (v === null ? null : v / TENTHS)), line: { color: ink, width: 1.3, dash: ["solid", "dash", "dot"][k] }, opacity: 0.8, yaxis: axes.pose, hovertemplate: `${names[k]} %{y:.0f}°<extra></extra>` }));
    if (words.length) {
      const bar = { x: [], y: [] };
      words.forEach((word, k) => data.quality[word].forEach(([begin, end]) => { bar.x.push(axisTime(begin), axisTime(end), null); bar.y.push(k, k, null); }));
      traces.push({ type: "scatter", mode: "lines", x: bar.x, y: bar.y, line: { color: css("--look"), width: 8 }, hoverinfo: "skip", yaxis: axes.quality });
      Object.assign(layout[`yaxis${axes.quality.slice(1)}`], { range: [words.length - 0.5, -0.5], tickvals: words.map((_, k) => k), ticktext: words.map((word) => (narrow ? word : WORDS[word])), showgrid: false });
    }
    for (const [begin, end] of data.gaps) layout.shapes.push({ type: "rect", xref: "x", yref: "paper", x0: axisTime(begin), x1: axisTime(end), y0: 0, y1: 1, fillcolor: css("--gap"), line: { width: 0 }, layer: "below" });
    const plot = $("curves");
    Plotly.react(plot, traces, layout, { displayModeBar: false, responsive: true, doubleClick: "reset" });
    if (!plot.dataset.listens) {
      plot.dataset.listens = "1";
      plot.on("plotly_relayout", () => { readRange(); drawStrip(); place(); });
      plot.on("plotly_doubleclick", () => zoom(open.first, open.last));
      plot.addEventListener("mousemove", (event) => { const t = timeUnder(event.clientX); if (t !== null) move(t); });
      plot.addEventListener("click", (event) => { const au = auUnder(event); if (au !== null) toggle(au); });
    }
    open.range = fullRange();
    drawStrip();
  }
  function fullRange() { return $("curves")._fullLayout.xaxis.range.map((value) => (open.data.timed ? value * 1000 : Number(value))); }
  function readRange() { if (open?.data) open.range = fullRange(); }
  function timeUnder(clientX) {
    const axis = $("curves")._fullLayout?.xaxis;
    if (!axis || !open?.data) return null;
    const px = clientX - $("curves").getBoundingClientRect().left - axis._offset;
    if (px < 0 || px > axis._length) return null;
    const value = axis.p2l(px);
    return open.data.timed ? value * 1000 : value;
  }
  function auUnder(event) {
    const layout = $("curves")._fullLayout, box = $("curves").getBoundingClientRect();
    if (event.clientX - box.left >= layout.xaxis._offset) return null; // the names at the left
    const px = event.clientY - box.top - layout.yaxis._offset;
    return px < 0 || px > layout.yaxis._length ? null : Math.min(Math.max(Math.round(layout.yaxis.p2l(px)), 0), open.data.aus.length - 1);
  }
  function zoom(from, to) {
    const least = open.data.timed ? 200 : 2, whole = open.last - open.first;
    let width = Math.min(Math.max(to - from, least), whole), begin = Math.min(Math.max(from, open.first), open.last - width);
    open.Plotly.relayout($("curves"), { "xaxis.range": [axisTime(begin), axisTime(begin + width)] });
  }
  $("detail").addEventListener("click", (event) => {
    const how = event.target.closest("[data-zoom]")?.dataset.zoom;
    if (!how || !open?.data) return;
    const [from, to] = open.range, width = to - from, middle = Math.min(Math.max(open.at, from), to);
    if (how === "all") zoom(open.first, open.last);
    if (how === "in") zoom(middle - (middle - from) / 2, middle + (to - middle) / 2);
    if (how === "out") zoom(middle - (middle - from) * 2, middle + (to - middle) * 2);
    if (how === "left") zoom(from - width / 2, to - width / 2);
    if (how === "right") zoom(from + width / 2, to + width / 2);
  });

  // The strip of faces above the curves, each at its own time.
  function sprite(element, moment, size) {
    const { data } = open;
    const has = data.sprite && moment.picture !== null && moment.picture !== undefined;
    element.style.backgroundImage = has ? `url(${data.sprite})` : "none";
    if (!has) return false;
    element.style.backgroundSize = `${data.pictures * size}px ${size}px`;
    element.style.backgroundPosition = `${-moment.picture * size}px 0`;
    return true;
  }
  function drawStrip() {
    const strip = $("strip"), axis = $("curves")._fullLayout.xaxis;
    strip.hidden = !open.data.sprite;
    strip.replaceChildren();
    if (strip.hidden) return;
    const made = [];
    let free = -Infinity;
    open.data.moments.forEach((moment, k) => {
      if (moment.picture === null || moment.picture === undefined) return;
      const px = axis.l2p(axisTime(moment.t)) + axis._offset;
      if (px < axis._offset - 1 || px > axis._offset + axis._length + 1) return;
      const at = Math.min(Math.max(px, 28), strip.clientWidth - 28);
      if (at - 27 < free) return;
      free = at + 29;
      const button = h("button", { type: "button", "data-moment": k, "aria-label": `Face at ${said(moment.t)}`, title: said(moment.t), style: { left: `${at}px` }, onclick: () => move(moment.t), onmouseenter: () => move(moment.t) });
      sprite(button, moment, 50);
      made.push(button);
    });
    strip.replaceChildren(...made);
  }

  // The cursor: one moment in all parts.
  let waitingFrame = null;
  function move(t) {
    if (!open?.data) return;
    open.at = t;
    if (waitingFrame) return;
    waitingFrame = requestAnimationFrame(() => { waitingFrame = null; if (open?.data) place(); });
  }
  $("cursor").addEventListener("input", () => move(open.data.t[Number($("cursor").value)]));
  function place() {
    const { data } = open, k = nearest(data.t, open.at);
    if (data.t.length > 1) {
      const axis = $("curves")._fullLayout.xaxis, px = axis.l2p(axisTime(open.at));
      $("line").hidden = px < 0 || px > axis._length;
      $("line").style.left = `${px + axis._offset}px`;
    }
    if (document.activeElement !== $("cursor")) $("cursor").value = k;
    $("cursor").setAttribute("aria-valuetext", said(open.at));
    const m = data.moments.length ? nearest(data.moments.map((moment) => moment.t), open.at) : null;
    const moment = m === null ? null : data.moments[m];
    const faces = [...$("strip").children], times = faces.map((face) => data.moments[face.dataset.moment].t);
    const nearestFace = faces[nearest(times, open.at)];
    faces.forEach((face) => face.classList.toggle("now", face === nearestFace));
    drawFace(moment);
    const cell = (value) => (value === null || value === undefined ? null : value);
    if (open.sides) updateSides(data.aus.map((_, i) => cell(open.sides.right[i][k])), data.aus.map((_, i) => cell(open.sides.left[i][k])));
    else updateSides(null, data.aus.map((_, i) => cell(open.levels[i][k])));
    const strong = data.aus.map((au, i) => [open.levels[i][k] ?? 0, au]).filter((each) => each[0] >= 1).sort((a, b) => b[0] - a[0]).slice(0, 4);
    const frame = data.frames[k], there = open.levels.some((curve) => curve[k] !== null);
    $("moment").replaceChildren(h("b", {}, data.timed ? `${clock(data.t[k])}, frame ${frame}` : named(data.t[k])), h("br"),
      !there ? (inGap(data.t[k]) ? "no face here" : "no intensity here") : strong.length ? strong.map(([value, au]) => `${au} ${value.toFixed(1)}`).join(" · ") : "no AU at 1 or more",
      moment && data.timed && Math.abs(moment.t - data.t[k]) > 100 && (data.sprite || data.placed) ? h("span", { class: "quiet" }, ` (above: ${clock(moment.t)})`) : "");
  }
  const SVG = "http://www.w3.org/2000/svg";
  function s(tag, told, text) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(told)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }
  function drawFace(moment) {
    const { data } = open, box = $("picture").parentElement;
    box.hidden = !moment || (!data.sprite && !data.placed);
    if (box.hidden) return;
    const has = sprite($("picture"), moment, box.clientWidth);
    const made = [];
    if (moment.places) {
      const dots = [];
      for (let i = 0; i < moment.levels.length; i++) {
        const value = moment.levels[i] / LEVEL, [px, py] = moment.places.slice(2 * i, 2 * i + 2);
        if (moment.levels[i] === NOTHING || px < 0) continue;
        const au = data.aus[i >> 1];
        if (value < 0.5) { if (!has) made.push(s("circle", { class: "ring", cx: px, cy: py, r: 11 })); continue; }
        dots.push({ value, px, py, au, side: open.sides ? ["left", "right"][i % 2] : "" });
      }
      dots.sort((a, b) => a.value - b.value);
      for (const dot of dots) {
        const circle = s("circle", { class: "dot", cx: dot.px, cy: dot.py, r: 8 + 4 * dot.value, fill: rgb(scaleOnFace(dot.value / 5)) });
        circle.append(s("title", {}, `${dot.au} ${dot.side} ${dot.value.toFixed(1)}`));
        made.push(circle);
      }
      const named = [];
      for (const dot of dots.reverse()) {
        if (dot.value < 1.5 || named.length >= 6 || named.some((other) => other.au === dot.au || (Math.abs(other.px - dot.px) < 130 && Math.abs(other.py - dot.py) < 42))) continue;
        named.push(dot);
        const right = dot.px > 500;
        made.push(s("text", { x: dot.px + (right ? 36 : -36), y: dot.py + 13, "text-anchor": right ? "start" : "end" }, dot.au.replace("AU", "").replace(/^0/, "")));
      }
    }
    $("dots").replaceChildren(...made);
  }
  // On a face, as on film and in the pictures of maps: viridis.
  const VIRIDIS = [[68, 1, 84], [70, 50, 126], [54, 92, 141], [39, 127, 142], [31, 161, 135], [74, 193, 109], [160, 218, 57], [253, 231, 37]];
  function scaleOnFace(share) {
    const at = Math.min(Math.max(share, 0), 1) * 7, i = Math.min(Math.floor(at), 6);
    return VIRIDIS[i].map((low, k) => Math.round(low + (VIRIDIS[i + 1][k] - low) * (at - i)));
  }

  // Left against right at the cursor.
  function drawSides() {
    const { data, Plotly } = open, both = Boolean(open.sides), soft = css("--soft");
    $("sideshead").textContent = both ? "Right and left" : "Intensity";
    const notes = [];
    if (data.t.length > 1) notes.push(`Thin marks: 95th percentile of ${open.row.unrelated ? "all pictures" : "the whole video"}.`);
    if (!data.placed) notes.push("No map of the face: this table has no places. analyze --places --sides adds them.");
    else if (!data.sprite) notes.push(study.wanted_pictures ? `The ${open.row.unrelated ? "picture" : "video"} was not found, so there are dots without a picture.` : "The page was made without pictures.");
    $("sidesnote").textContent = notes.join(" ");
    const y = data.aus.map((_, i) => i), marks = { type: "scatter", mode: "markers", y, hoverinfo: "skip", marker: { symbol: "line-ns-open", size: 9, color: soft, line: { width: 1.5 } } };
    const bar = { type: "bar", orientation: "h", y, x: y.map(() => 0), marker: { color: y.map(() => "#888"), line: { color: css("--edge"), width: 0.5 } }, hovertemplate: "%{customdata}<extra></extra>" };
    const traces = both ? [bar, structuredClone(bar), { ...marks, x: data.p95_right.map((v) => (v === NOTHING ? null : -v / LEVEL)) }, { ...marks, x: data.p95_left.map((v) => (v === NOTHING ? null : v / LEVEL)) }] : [bar, { ...marks, x: data.p95.map((v) => v / LEVEL) }];
    const layout = {
      height: data.aus.length * 15 + 42, margin: { l: 42, r: 6, t: 20, b: 22 }, barmode: "overlay", bargap: 0.25, showlegend: false, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest",
      font: { family: getComputedStyle(document.body).fontFamily, size: 10.5, color: soft }, hoverlabel: { bgcolor: css("--paper"), bordercolor: css("--edge"), font: { color: css("--ink") } },
      xaxis: { range: both ? [-5.1, 5.1] : [0, 5.1], fixedrange: true, tickvals: both ? [-5, -3, -1, 1, 3, 5] : [0, 1, 2, 3, 4, 5], ticktext: both ? ["5", "3", "1", "1", "3", "5"] : undefined, gridcolor: css("--line"), zeroline: true, zerolinecolor: css("--edge") },
      yaxis: { range: [data.aus.length - 0.4, -0.6], fixedrange: true, tickvals: y, ticktext: data.aus, showgrid: false, zeroline: false },
      annotations: both ? [["person's right", 0, "left"], ["person's left", 1, "right"]].map(([text, px, anchor]) => ({ text, xref: "paper", yref: "paper", x: px, y: 1, xanchor: anchor, yanchor: "bottom", showarrow: false, font: { size: 10.5 } })) : [],
    };
    Plotly.react($("sides"), traces, layout, { displayModeBar: false, responsive: true });
  }
  function updateSides(right, left) {
    const colours = (values) => values.map((value) => rgb(mix(0.12 + 0.88 * (value ?? 0) / 5)));
    const told = (values, side) => values.map((value, i) => `${open.data.aus[i]} ${side}${value === null ? "–" : value.toFixed(1)}`);
    if (right) open.Plotly.restyle($("sides"), { x: [right.map((v) => -(v ?? 0)), left.map((v) => v ?? 0)], "marker.color": [colours(right), colours(left)], customdata: [told(right, "right "), told(left, "left ")] }, [0, 1]);
    else open.Plotly.restyle($("sides"), { x: [left.map((v) => v ?? 0)], "marker.color": [colours(left)], customdata: [told(left, "")] }, [0]);
  }

  // Events in words.
  const FIRST_EVENTS = 40;
  const LEVELS = ["", "A trace", "B slight", "C marked", "D severe", "E maximum"];
  function drawEvents() {
    const { data } = open, table = $("events"), all = $("allevents");
    $("eventsbox").hidden = !data.events.length;
    table.tHead.replaceChildren(h("tr", {}, ...["AU", "", "Onset", "Apex", "Offset", "Length", "Peak", ""].map((name) => h("th", { scope: "col" }, name))));
    const shownEvents = open.allEvents || printing || data.events.length <= FIRST_EVENTS ? data.events : [...data.events].sort((a, b) => b[4] - a[4]).slice(0, FIRST_EVENTS).sort((a, b) => a[1] - b[1]);
    table.tBodies[0].replaceChildren(...shownEvents.map((event) => {
      const [i, onset, apex, offset, peak, , whole] = event, au = data.aus[i], value = peak / LEVEL, colour = mix(value / 5);
      const go = () => { if (!open.chosen.includes(i)) toggle(i); zoom(onset - Math.max(1000, offset - onset), offset + Math.max(1000, offset - onset)); move(apex); $("sheet").scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" }); };
      const level = LEVELS[Math.min(Math.max(Math.floor(value + 0.5), 0), 5)];
      return h("tr", { onclick: go }, h("td", {}, h("button", { type: "button" }, au)), h("td", {}, study.names[au]), h("td", {}, clock(onset)), h("td", {}, clock(apex)), h("td", {}, clock(offset)), h("td", {}, `${((offset - onset) / 1000).toFixed(1)} s`),
        h("td", {}, h("span", { class: "level", style: { background: rgb(colour), color: inkOn(colour) } }, value.toFixed(1)), level), h("td", { class: "quiet" }, whole ? "" : "begins or ends with the face"));
    }));
    all.hidden = shownEvents.length === data.events.length;
    all.textContent = `Show all ${data.events.length} events (now the ${FIRST_EVENTS} strongest)`;
  }
  $("allevents").addEventListener("click", () => { open.allEvents = true; drawEvents(); });

  // Keys: j and k, or the arrows with Alt, go from row to row; Escape goes back.
  addEventListener("keydown", (event) => {
    if (!open || event.target.matches("input[type=search], select")) return;
    if (event.key === "Escape") location.hash = "";
    if (event.key === "j" && !$("after").hidden) location.hash = $("after").hash;
    if (event.key === "k" && !$("before").hidden) location.hash = $("before").hash;
  });
  addEventListener("resize", () => { if (open?.data && open.wide !== innerWidth) { open.wide = innerWidth; drawDetail(); } });
  document.querySelectorAll("#home, .back").forEach((link) => link.addEventListener("click", (event) => { event.preventDefault(); location.hash = ""; }));
  addEventListener("hashchange", route);

  theme(); lead(); controls(); arrange();
  const limits = study.limits.map((text) => h("li", {}, text));
  $("limits").replaceChildren(...limits); $("limits2").replaceChildren(...limits.map((each) => each.cloneNode(true)));
  if (rows.length === 1 && rows[0].state === "done" && !location.hash) location.replace("#v0"); else route();
})();
