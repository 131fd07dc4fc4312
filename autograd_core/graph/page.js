"use strict";
// What the reader does: open and close, move about, search, select.

const $ = (id) => document.getElementById(id);
const svg = $("graph"), view = $("view"), panel = $("panel");
let scene = null;
let chosen = null;     // id of the selected box
let overlayName = data.overlay;
let at = { x: 0, y: 0, zoom: 1 };

function say(words) { $("said").textContent = words; }

function render(keep) {
  // Lay out what is open. `keep`: id of the box that stays where it is on the screen.
  const before = keep && scene ? scene.byId.get(keep) : null;
  const corner = before ? [before.x * at.zoom + at.x, before.y * at.zoom + at.y] : null;
  const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.id : null;
  scene = makeScene();
  measure(scene, overlayName);
  layOut(scene);
  const scale = overlayName ? makeScale(scene) : null;
  drawScene(scene, view, scale);
  showLegend(scale);
  const now = keep ? scene.byId.get(keep) : null;
  if (corner && now) { at.x = corner[0] - now.x * at.zoom; at.y = corner[1] - now.y * at.zoom; }
  move();
  if (chosen && !scene.byId.has(chosen)) chosen = null;
  light();
  if (focused && scene.byId.has(focused)) scene.byId.get(focused).element.focus({ preventScroll: true });
}

function toggle(box) {
  if (!box || !box.parent || !opens(box)) return;
  let keep = box.id;
  if (box.kind === "g") {
    if (openGroups.has(box.k)) openGroups.delete(box.k); else openGroups.add(box.k);
    say(`${box.about.title} ${openGroups.has(box.k) ? "opened" : "closed"}`);
  } else if (box.kind === "fan") {
    openFans.add(box.id);
    keep = scene.edges.find(([a]) => a === box)?.[1].id;
  } else {
    const shown = box.parent.children.filter((b) => b.kind === "o" || b.kind === "g");
    keep = (box.kind === "before" ? shown[0] : shown[shown.length - 1])?.id;
    showMore(groups[box.k], box.kind === "before");
  }
  $("tip").hidden = true;
  render(keep);
}

// Selecting ----------------------------------------------------------------------------------------------------------

const boxUnder = (event) => {
  const g = event.target.closest ? event.target.closest("[data-id]") : null;
  return g && svg.contains(g) ? scene.byId.get(g.dataset.id) : null;
};

svg.addEventListener("click", (event) => {
  if (dragged) { dragged = false; return; }
  const box = boxUnder(event);
  if (!box) choose(null);
  else if (event.target.closest(".toggle") || box.kind === "before" || box.kind === "after") toggle(box);
  else choose(box.id);
});
svg.addEventListener("dblclick", (event) => {
  const box = boxUnder(event);
  if (box && !event.target.closest(".toggle") && box.kind !== "before" && box.kind !== "after") toggle(box);
});

function choose(id) {
  chosen = id;
  light();
}

function light() {
  const box = chosen ? scene.byId.get(chosen) : null;
  svg.classList.toggle("lit", Boolean(box));
  const found = box ? kin(scene, box) : null;
  const side = (b) => (found.above.has(b.number) ? "above" : "") + (found.below.has(b.number) ? " below" : "");
  const mark = (e, name) => {
    e.classList.remove("above", "below", "dim", "chosen");
    for (const part of name.split(" ")) if (part) e.classList.add(part);
  };
  for (const b of scene.boxes) {
    if (!b.parent) continue;
    b.element.querySelector(".kin")?.remove();
    let name = "";
    if (box) name = b === box ? "chosen" : b.children ? "" : side(b) || (found.within(b) ? "" : "dim");
    mark(b.element, name);
    b.element.setAttribute("aria-pressed", String(b === box));
    if (b.back) mark(b.back, b === box ? "chosen" : "");
    if (name.includes("above") || name.includes("below")) {
      const sign = (name.includes("above") ? "▲" : "") + (name.includes("below") ? "▼" : "");
      element("text", { class: "kin", x: b.x - 3, y: b.y + 11, "text-anchor": "end" }, b.element, sign);
    }
  }
  const shade = (pairs) => {
    if (!box) return "";
    for (const [a, b] of pairs) {
      const own = (c) => c === box || found.within(c);
      if (own(a) && own(b)) return "plain";
      if (found.above.has(a.number) && (found.above.has(b.number) || own(b))) return "above";
      if (found.below.has(b.number) && (found.below.has(a.number) || own(a))) return "below";
    }
    return "dim";
  };
  const tint = (edge, pairs) => {
    const name = shade(pairs);
    for (const e of [edge.element, edge.arrow]) {
      if (!e) continue;
      mark(e, name);
      if (name === "above" || name === "below") e.parentNode?.appendChild(e);  // above dimmed ones on the same way
    }
  };
  for (const s of scene.segments) tint(s, s.pairs);
  for (const c of scene.curves) tint(c, [[c.a, c.b]]);
  fillPanel(box);
}

// The panel and the tip ----------------------------------------------------------------------------------------------

function html(name, parent, content, cls) {
  const made = document.createElement(name);
  if (content !== undefined) made.textContent = content;
  if (cls) made.className = cls;
  if (parent) parent.appendChild(made);
  return made;
}

const figure = (v) => (typeof v === "number" ? String(Number(v.toPrecision(5))) : v);

function statistics(title, row) {
  if (!row) return;
  html("h3", panel, title);
  const list = html("dl", panel);
  const [least, mean, most, nan, infinite] = row;
  const pairs = [["min", least], ["mean", mean], ["max", most], ["NaN", nan], ["infinite", infinite]];
  for (const [key, v] of pairs) if (v !== null) { html("dt", list, key); html("dd", list, figure(v), v && (key === "NaN" || key === "infinite") ? "alarm" : ""); }
}

function fillPanel(box) {
  panel.textContent = "";
  if (!box) {
    html("h2", panel, "Computation graph");
    html("p", panel, data.caption);
    if (data.note) html("p", panel, data.note, "alarm");
    html("p", panel, "Click a box to see what it was computed from (▲) and what was computed from it (▼). Double-click a module, or press Enter, to open or close it.");
    html("p", panel, "Drag to move, wheel or + and − to zoom, 0 shows everything, / searches, Esc clears.");
    return;
  }
  html("h2", panel, box.kind === "o" ? text(operations.name[box.k]) : box.about.title);
  html("p", panel, box.about.kind);
  if (box.bad) {
    const where = [...badAt].filter(([k]) => k >= box.start && k < box.stop).map(([, place]) => place).filter(Boolean);
    html("p", panel, `✗ ${data.says}${where.length ? `, in ${where[0]}` : ""}`, "alarm");
  }
  const list = html("dl", panel);
  const row = (key, value) => { if (value) { html("dt", list, key); html("dd", list, value); } };
  if (box.kind === "o") {
    const k = box.k, many = operations.count[k];
    row("result", text(operations.type[k]));
    row("variable", text(operations.called[k]));
    row("module", text(operations.path[k]));
    row("line", text(operations.line[k]));
    row("compiled", text(operations.instructions[k]));
    if (many > 1) row("times", many.toLocaleString("en-US"));
    row("bytes", amount(operations.bytes[k], "B") + (many > 1 ? " in all" : ""));
    for (const detail of text(operations.details[k]).split("\n")) row(detail ? "with" : "", detail);
  } else if (box.kind === "s") {
    const s = sources[box.k];
    row("type", s.type);
    row("values", s.size.toLocaleString("en-US"));
    row("bytes", amount(s.bytes, "B"));
    if (s.withoutGradient) row("gradient", "none arrives here");
    if (s.names.length > 1) row("names", s.names.slice(0, 12).join(", ") + (s.count > 12 ? ", …" : ""));
  } else {
    for (const line of box.about.lines) html("p", panel, line);
  }
  if (box.stop > box.start && box.kind !== "o") {
    let bytes = 0;
    for (let i = box.start; i < box.stop; i++) bytes += operations.bytes[i];
    row("bytes", amount(bytes, "B"));
  }
  for (const name in data.overlays) {
    const v = name === "bytes" ? null : valueOf(box, name);
    if (v !== null) row(name, together(box, name) + amount(v, data.overlays[name].unit));
  }
  const table = (key) => (box.kind === "o" ? operations[key][box.k] : box.kind === "s" ? sources[box.k][key] : null);
  statistics("Values", table("values"));
  statistics("Gradient", table("gradients"));
}

svg.addEventListener("pointermove", (event) => {
  const box = drag && drag.moved ? null : boxUnder(event);
  const tip = $("tip");
  tip.hidden = !box;
  if (!box) return;
  const words = [box.about.title, ...box.about.lines];
  if (box.kind === "o") words.push(text(operations.path[box.k]), text(operations.line[box.k]));
  if (box.kind === "s") words.push(...sources[box.k].names.slice(0, 3));
  tip.textContent = [...new Set(words.filter(Boolean))].join("\n");
  tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 8)}px`;
});
svg.addEventListener("pointerleave", () => { $("tip").hidden = true; });
