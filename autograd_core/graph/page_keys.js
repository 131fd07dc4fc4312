"use strict";
// Search, colours, keys and buttons; then the page starts.

const search = $("search"), results = $("results");
const MOST_RESULTS = 50;
let index = null, hits = [], marked = 0;

function searchIndex() {
  if (index) return index;
  const lower = (parts) => parts.filter(Boolean).join(" ").toLowerCase();
  index = [];
  for (const g of groups) if (g.index) index.push(["g", g.index, g.title, g.subtitle, lower([g.title, g.subtitle])]);
  sources.forEach((s, k) => index.push(["s", k, s.title, s.kind, lower([s.title, s.kind, ...s.names])]));
  for (let k = 0; k < operationCount; k++) {
    const name = text(operations.name[k]), path = text(operations.path[k]);
    index.push(["o", k, name, path, lower([name, path, text(operations.called[k]), text(operations.type[k]), text(operations.details[k])])]);
  }
  return index;
}

function look() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  results.textContent = "";
  hits = [];
  let total = 0;
  if (words.length) {
    for (const entry of searchIndex()) {
      if (!words.every((w) => entry[4].includes(w))) continue;
      total++;
      if (hits.length < MOST_RESULTS) hits.push(entry);
    }
  }
  hits.forEach((hit, j) => {
    const li = html("li", results, hit[2]);
    li.id = `hit${j}`;
    li.setAttribute("role", "option");
    html("span", li, hit[3], "where");
    li.addEventListener("pointerdown", (event) => { event.preventDefault(); pick(j); });
  });
  if (words.length && total > hits.length) html("li", results, `${total - hits.length} more: type more letters`, "none");
  if (words.length && !total) html("li", results, "nothing found", "none");
  results.hidden = !words.length;
  search.setAttribute("aria-expanded", String(!results.hidden));
  if (words.length) say(`${total} found`);
  mark(0);
}

function mark(j) {
  marked = Math.min(Math.max(j, 0), hits.length - 1);
  hits.forEach((_, i) => $(`hit${i}`).setAttribute("aria-selected", String(i === marked)));
  if (hits.length) {
    search.setAttribute("aria-activedescendant", `hit${marked}`);
    $(`hit${marked}`).scrollIntoView({ block: "nearest" });
  } else search.removeAttribute("aria-activedescendant");
}

function closeResults() {
  results.hidden = true;
  search.setAttribute("aria-expanded", "false");
}

function pick(j) {
  if (!hits[j]) return;
  const [kind, k] = hits[j];
  closeResults();
  const id = uncoverThing(kind, k);
  if (kind === "s") for (const fan of scene.boxes) if (fan.members && fan.members.includes(k)) openFans.add(fan.id);
  chosen = id;
  render();
  if (kind === "s" && !scene.byId.has(id)) {  // its fan came into sight only now
    for (const fan of scene.boxes) if (fan.members && fan.members.includes(k)) openFans.add(fan.id);
    chosen = id;
    render();
  }
  const box = scene.byId.get(id);
  if (!box) return;
  bringIn(box, true);
  box.element.focus({ preventScroll: true });
}

search.addEventListener("input", look);
search.addEventListener("blur", closeResults);
search.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown") mark(marked + 1);
  else if (event.key === "ArrowUp") mark(marked - 1);
  else if (event.key === "Enter") pick(marked);
  else if (event.key === "Escape") { search.value = ""; closeResults(); search.blur(); } else return;
  event.preventDefault();
});

// Colours ------------------------------------------------------------------------------------------------------------

for (const name in data.overlays) html("option", $("overlay"), name).value = name;
$("overlay").value = overlayName;
$("overlay").addEventListener("change", (event) => { overlayName = event.target.value; render(); });

function showLegend(scale) {
  $("legend").hidden = !scale;
  if (!scale) return;
  const unit = data.overlays[overlayName].unit;
  $("least").textContent = amount(scale.least, unit);
  $("most").textContent = amount(scale.most, unit) + (scale.logarithmic ? " (logarithmic)" : "");
  const stops = [0, 0.2, 0.4, 0.6, 0.8, 1].map((p) => `rgb(${colourAt(p).join()})`);
  $("scale").style.background = `linear-gradient(to right, ${stops.join()})`;
  $("scale").setAttribute("aria-label", `from ${$("least").textContent} to ${$("most").textContent}`);
}

// Keys and buttons ---------------------------------------------------------------------------------------------------

const ARROWS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

function step(box, [dx, dy]) {
  // The nearest box in a direction; what lies off it counts double.
  const centre = (b) => [b.x + b.w / 2, b.children ? b.y + TITLE / 2 : b.y + b.h / 2];
  const [x, y] = centre(box);
  let best = null, least = Infinity;
  for (const b of scene.boxes) {
    if (b === box || !b.parent) continue;
    const [bx, by] = centre(b);
    const along = (bx - x) * dx + (by - y) * dy, beside = Math.abs((bx - x) * dy) + Math.abs((by - y) * dx);
    if (along > 1 && along + 2 * beside < least) { least = along + 2 * beside; best = b; }
  }
  return best;
}

function focusBox(box) {
  if (!box) return;
  bringIn(box);
  box.element.focus({ preventScroll: true });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target === search || event.target === $("overlay")) return;
  const g = event.target.closest ? event.target.closest("[data-id]") : null;
  const box = g ? scene.byId.get(g.dataset.id) : null;
  const key = event.key;
  if (key === "/") { search.focus(); search.select(); }
  else if (key === "Escape") choose(null);
  else if (key === "+" || key === "=") zoomBy(1.25);
  else if (key === "-") zoomBy(0.8);
  else if (key === "0") fit();
  else if (ARROWS[key]) focusBox(box ? step(box, ARROWS[key]) : scene.boxes[1]);
  else if (box && key === "Enter") { if (opens(box)) toggle(box); else choose(box.id); }
  else if (box && key === " ") choose(box.id);
  else return;
  event.preventDefault();
});
svg.addEventListener("focusin", (event) => {
  const g = event.target.closest("[data-id]");
  if (g && !drag) bringIn(scene.byId.get(g.dataset.id));
});

$("closer").addEventListener("click", () => zoomBy(1.25));
$("further").addEventListener("click", () => zoomBy(0.8));
$("fit").addEventListener("click", () => fit());
$("start").addEventListener("click", start);

function start() {
  // A bad value is what the reader came for: it is in sight, whatever is closed around it.
  chosen = null;
  openAtStart();
  const bad = [...data.bad.map(([k]) => uncoverThing("o", k)), ...badSources.map((k) => uncoverThing("s", k))];
  render();
  fit(true);
  if (scene.byId.has(bad[0])) bringIn(scene.byId.get(bad[0]));
}

start();
document.documentElement.dataset.opened = String(Math.round(performance.now()));
