"use strict";
// What stands in the boxes, and the SVG of a scene that has been laid out. All text goes in by textContent.

const SVG = "http://www.w3.org/2000/svg";
const FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif";
const pen = document.createElement("canvas").getContext("2d");
const widths = new Map();

function textWidth(string, size, bold) {
  const key = `${size}${bold}${string}`;
  if (!widths.has(key)) {
    pen.font = `${bold ? "bold " : ""}${size}px ${FONT}`;
    widths.set(key, pen.measureText(string).width);
  }
  return widths.get(key);
}

function shorten(string, size, bold, most) {
  // Cut in the middle, as the end of a name tells as much as its beginning.
  if (textWidth(string, size, bold) <= most) return string;
  const letters = [...string];
  let keep = letters.length;
  while (keep > 4) {
    keep = Math.floor(keep * 0.9);
    const head = Math.ceil(keep * 0.6);
    const cut = letters.slice(0, head).join("") + "…" + letters.slice(letters.length - (keep - head)).join("");
    if (textWidth(cut, size, bold) <= most) return cut;
  }
  return letters.slice(0, 4).join("") + "…";
}

const counted = (n, what) => `${n.toLocaleString("en-US")} ${what}${n === 1 ? "" : "s"}`;

function amount(value, unit) {
  // A figure with its unit, short: 1.2 ms, 3.4 MB, 12,345 values.
  if (typeof value === "string") return value;
  const scaled = (v, steps) => {
    for (const [size, name] of steps) if (Math.abs(v) >= size) return `${Number((v / size).toPrecision(3))} ${name}`;
    const [size, name] = steps[steps.length - 1];
    return `${Number((v / size).toPrecision(3))} ${name}`;
  };
  if (unit === "B") return scaled(value, [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"], [1, "B"]]);
  if (unit === "%") return `${Number((100 * value).toPrecision(3))} %`;
  if (unit === "s") return scaled(value, [[1, "s"], [1e-3, "ms"], [1e-6, "µs"]]);
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return value.toLocaleString("en-US") + (unit ? ` ${unit}` : "");
  return `${Number(value.toPrecision(4))}${unit ? ` ${unit}` : ""}`;
}

function describe(box) {
  // {title, lines, kind in words} of a box.
  if (box.kind === "o") {
    const k = box.k;
    const many = operations.count[k] > 1 && !operations.omitted[k] ? ` × ${operations.count[k].toLocaleString("en-US")}` : "";
    const details = text(operations.details[k]).split("\n").filter(Boolean).slice(0, 3);
    const type = text(operations.type[k]);
    const called = text(operations.called[k]);
    const lines = [called && `= ${called}`, ...details, type && type + many, text(operations.instructions[k])];
    return { title: text(operations.name[k]), lines: lines.filter(Boolean),
      kind: operations.omitted[k] ? "left out" : "operation" };
  }
  if (box.kind === "g") {
    const group = groups[box.k];
    const inside = parametersInside(group);
    return { title: group.title, kind: group.count > 1 ? "repetition" : "module",
      lines: [group.subtitle, counted(group.total, "operation"), inside, group.made].filter(Boolean) };
  }
  if (box.kind === "s") {
    const s = sources[box.k];
    const many = s.count > 1 ? ` × ${s.count.toLocaleString("en-US")}` : "";
    const lacking = s.withoutGradient;
    const none = lacking ? `no gradient${lacking < s.count ? `: ${lacking} of ${s.count}` : ""}` : "";
    return { title: s.title, lines: [s.type + many, none].filter(Boolean), kind: s.kind };
  }
  if (box.kind === "fan") {
    const kind = sources[box.members[0]].kind;
    return { title: kind === "data" ? `${box.members.length} arrays` : counted(box.members.length, kind), kind: "several",
      lines: ["open to see them"] };
  }
  const [first, last] = windowOf(groups[box.k]);
  const n = box.kind === "before" ? first : groups[box.k].items.length - last;
  const where = box.kind === "before" ? "before" : "more";
  return { title: `… ${n.toLocaleString("en-US")} ${where}`, lines: [counted(box.stop - box.start, "operation")], kind: "not shown" };
}

function parametersInside(group) {
  if (group.inside === undefined) {
    let count = 0, size = 0;
    for (const s of sources) {
      if (s.kind !== "parameter") continue;
      for (let g = s.home; g >= 0; g = groups[g].parent) if (g === group.index) { count += s.count; size += s.size; break; }
    }
    group.inside = count ? `${counted(count, "parameter")} (${counted(size, "value")})` : "";
  }
  return group.inside;
}

const opens = (box) => box.kind !== "s" && box.kind !== "o";
const isBad = (box) => [...badAt.keys()].some((k) => k >= box.start && k < box.stop) || badSources.some((k) => (
  box.kind === "s" ? box.k === k : box.kind === "g" ? sourcesWithin(groups[box.k]).includes(k) : box.members?.includes(k)));
const MOST_WIDE = 280;

function measure(scene, overlay) {
  for (const box of scene.boxes) {
    const about = describe(box);
    box.about = about;
    box.bad = isBad(box);
    box.value = overlay ? valueOf(box, overlay) : null;
    if (box.children) {
      box.title = shorten(about.title, 12, true, 360);
      const sub = about.lines[0] === groups[box.k].subtitle && groups[box.k].subtitle;
      box.side = sub ? shorten(sub, 10.5, false, 240) : "";
      box.least = box.parent ? textWidth(box.title, 12, true) + textWidth(box.side, 10.5, false) + 60 : 0;
      continue;
    }
    const lines = about.lines.slice();
    if (box.value !== null) lines.push(together(box, overlay) + amount(box.value, data.overlays[overlay].unit));
    box.title = shorten(about.title, 12, true, MOST_WIDE);
    box.lines = lines.map((line) => shorten(line, 10.5, false, MOST_WIDE));
    const room = opens(box) ? 24 : 0;
    box.w = Math.ceil(Math.max(textWidth(box.title, 12, true) + room, ...box.lines.map((l) => textWidth(l, 10.5, false)))) + 20;
    box.w = Math.max(box.w, 48);
    box.h = 12 + 15 + 13 * box.lines.length;
  }
}

// Overlays -----------------------------------------------------------------------------------------------------------

function valueOf(box, name) {
  const overlay = data.overlays[name];
  let found = null;
  const take = (v) => {
    if (v === null || v === undefined) return;
    if (found === null) found = v;
    else if (typeof found === "string") return;
    else if (typeof v === "string") found = v;
    else found = overlay.sum ? found + v : Math.max(found, v);
  };
  for (let i = box.start; i < box.stop; i++) take(overlay.operations[i]);
  if (box.kind === "s") take(overlay.sources[box.k]);
  for (const k of box.members || []) take(overlay.sources[k]);
  if (box.kind === "g") sourcesWithin(groups[box.k]).forEach((k) => take(overlay.sources[k]));
  return found;
}

function together(box, name) {
  // What the figure of several twins is: their sum, or the largest of them.
  const many = box.kind === "o" ? operations.count[box.k] : box.kind === "s" ? sources[box.k].count : 1;
  if (many < 2) return "";
  return data.overlays[name].sum ? `${many.toLocaleString("en-US")} together: ` : `largest of ${many.toLocaleString("en-US")}: `;
}

function sourcesWithin(group) {
  if (!group.within) {
    group.within = [];
    sources.forEach((s, k) => {
      for (let g = s.home; g >= 0; g = groups[g].parent) if (g === group.index) { group.within.push(k); break; }
    });
  }
  return group.within;
}

// Cividis: from dark blue over grey to yellow, the same for every kind of colour vision, and lighter at every step.
const SCALE = [[0, 34, 78], [53, 69, 108], [102, 105, 112], [148, 142, 119], [200, 184, 102], [254, 232, 56]];

function colourAt(part) {
  const at = Math.min(Math.max(1 - part, 0), 1) * (SCALE.length - 1);  // much is dark: it stands out on white
  const j = Math.min(Math.floor(at), SCALE.length - 2);
  return SCALE[j].map((c, i) => Math.round(c + (SCALE[j + 1][i] - c) * (at - j)));
}

function makeScale(scene) {
  const values = scene.boxes.filter((b) => !b.children && typeof b.value === "number").map((b) => b.value);
  if (!values.length) return null;
  const least = Math.min(...values), most = Math.max(...values);
  const positive = values.filter((v) => v > 0);
  const floor = positive.length ? Math.min(...positive) : 0;
  const logarithmic = least >= 0 && most / floor > 300;
  const part = (v) => {
    if (logarithmic) return v <= floor ? 0 : Math.log(v / floor) / Math.log(most / floor);
    return most > least ? (v - least) / (most - least) : most > 0 ? 1 : 0;
  };
  return { least, most, logarithmic, part };
}

// SVG ----------------------------------------------------------------------------------------------------------------

function element(name, attributes, parent, content) {
  const made = document.createElementNS(SVG, name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  if (content !== undefined) made.textContent = content;
  if (parent) parent.appendChild(made);
  return made;
}

function drawScene(scene, view, scale) {
  view.textContent = "";
  const under = element("g", {}, view), edges = element("g", { class: "edges", "aria-hidden": "true" }, view);
  const over = element("g", {}, view);
  scene.boxes.forEach((box) => { if (box.children && box.parent) drawFrame(box, under, over); });
  scene.segments.forEach((s) => drawSegment(s, edges));
  scene.curves.forEach((c) => drawLoop(c, edges));
  scene.boxes.forEach((box) => { if (!box.children) drawBox(box, over, scale); });
  scene.layers = [under, edges, over].map((layer) => [layer, [...layer.children]]);
}

function node(box, parent, name) {
  const about = box.about;
  const state = opens(box) ? (box.children ? ", open" : ", closed") : "";
  const said = [`${about.kind} ${about.title}${state}`, ...about.lines, box.bad ? data.says : ""].filter(Boolean);
  const g = element("g", { class: name, tabindex: "0", role: "button", "data-id": box.id, "aria-label": said.join(", ") }, parent);
  if (opens(box)) g.setAttribute("aria-expanded", box.children ? "true" : "false");
  g.bounds = [box.x, box.y, box.x + box.w, box.y + box.h];
  box.element = g;
  return g;
}

function toggleMark(g, x, y, open) {
  const mark = element("g", { class: "toggle", "aria-hidden": "true" }, g);
  element("rect", { x, y, width: 14, height: 14, rx: 3 }, mark);
  element("path", { d: `M${x + 4},${y + 7}h6${open ? "" : `M${x + 7},${y + 4}v6`}` }, mark);
}

function badge(g, x, y) {
  element("circle", { class: "badge", cx: x, cy: y, r: 8 }, g);
  element("text", { class: "badgetext", x, y: y + 4, "text-anchor": "middle" }, g, "!");
}

function drawFrame(box, under, over) {
  let depth = 0;
  for (let b = box.parent; b; b = b.parent) depth++;
  const repeated = groups[box.k].count > 1 ? " repeated" : "";
  const shape = { x: box.x, y: box.y, width: box.w, height: box.h, rx: 8 };
  box.back = element("rect", { class: `frame depth${depth % 2}${repeated}${box.bad ? " bad" : ""}`, ...shape }, under);
  const g = node(box, over, "head");
  box.back.bounds = g.bounds;
  element("rect", { class: "hit", x: box.x, y: box.y, width: box.w, height: TITLE - 4, rx: 8 }, g);
  toggleMark(g, box.x + 7, box.y + 6, true);
  const title = element("text", { class: "title", x: box.x + 27, y: box.y + 17 }, g, box.title);
  if (box.side) element("tspan", { class: "line", dx: 8 }, title, box.side);
  if (box.bad) badge(g, box.x + box.w, box.y);
}

function drawBox(box, over, scale) {
  const kinds = { o: "operation", g: "module", s: "", before: "rest", after: "rest", fan: "several" };
  let name = `box ${kinds[box.kind] || sources[box.k].kind}`;
  if (box.kind === "o" && operations.omitted[box.k]) name += " rest";
  if (box.kind === "g" && groups[box.k].count > 1) name += " repeated";
  if (box.kind === "s" && sources[box.k].withoutGradient) name += " nogradient";
  if (box.bad) name += " bad";
  for (const k of outputs) if (k >= box.start && k < box.stop && !name.includes(" output")) name += " output";
  const g = node(box, over, name);
  const rx = box.kind === "s" ? (sources[box.k].kind === "input" ? Math.min(box.h / 2, 18) : 0) : 6;
  if (box.kind === "g") element("rect", { class: "stack", x: box.x + 4, y: box.y + 4, width: box.w, height: box.h, rx }, g);
  const face = element("rect", { class: "face", x: box.x, y: box.y, width: box.w, height: box.h, rx }, g);
  let ink = "";
  if (scale && box.value !== null) {
    const colour = typeof box.value === "number" ? colourAt(scale.part(box.value)) : [213, 94, 0];
    face.style.fill = `rgb(${colour.join()})`;
    ink = colour[0] * 0.3 + colour[1] * 0.59 + colour[2] * 0.11 < 125 ? "#ffffff" : "#111111";
  }
  const left = box.x + 10;
  const write = (string, y, cls) => {
    const written = element("text", { class: cls, x: left, y }, g, string);
    if (ink) written.style.fill = ink;
  };
  write(box.title, box.y + 19, "title");
  box.lines.forEach((line, j) => write(line, box.y + 33 + 13 * j, "line"));
  if (opens(box)) toggleMark(g, box.x + box.w - 21, box.y + 7, false);
  if (box.bad) badge(g, box.x + box.w, box.y);
}

function drawSegment(s, parent) {
  const p = s.points;
  let d = `M${p[0][0]},${p[0][1]}V${p[0][2]}`;
  for (let j = 1; j < p.length; j++) {
    const [x0, , y0] = p[j - 1], [x1, y1, y2] = p[j];
    const middle = (y0 + y1) / 2;
    d += Math.abs(x0 - x1) < 0.5 ? `L${x1},${y1}` : `C${x0},${middle} ${x1},${middle} ${x1},${y1}`;
    d += `V${y2}`;
  }
  s.element = element("path", { class: "edge", d }, parent);
  const xs = p.map(([x]) => x);
  s.element.bounds = [Math.min(...xs), p[0][1], Math.max(...xs), p[p.length - 1][2]];
  if (!s.v.port && !s.v.children) {
    const [x, , y] = p[p.length - 1];
    s.arrow = element("path", { class: "arrow", d: `M${x - 3.5},${y - 7}h7L${x},${y}z` }, parent);
    s.arrow.bounds = [x, y, x, y];
  }
}

function drawLoop(c, parent) {
  const [x0, y0] = c.from, [x1, y1] = c.to;
  const d = `M${x0},${y0}H${c.x - 6}Q${c.x},${y0} ${c.x},${y0 - 6}V${y1 + 6}Q${c.x},${y1} ${c.x - 6},${y1}H${x1}`;
  c.element = element("path", { class: "edge loop", d }, parent);
  element("title", {}, c.element, "to the next repetition");
  c.arrow = element("path", { class: "arrow loop", d: `M${x1 + 7},${y1 - 3.5}v7L${x1},${y1}z` }, parent);
  c.element.bounds = c.arrow.bounds = [Math.min(x0, x1), y1, c.x, y0];
}
