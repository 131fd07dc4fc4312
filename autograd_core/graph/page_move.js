"use strict";
// Where the reader looks: moving, zooming, and what of a large scene is on the screen.

const MANY = 1000;            // boxes from which on those out of sight are not in the document
const FAR = 0.35, VERY_FAR = 0.16;  // zooms below which lines, then titles too, are too small to read

function move() {
  view.setAttribute("transform", `translate(${at.x},${at.y}) scale(${at.zoom})`);
  svg.classList.toggle("far", at.zoom < FAR);
  svg.classList.toggle("veryfar", at.zoom < VERY_FAR);
  if (scene && scene.boxes.length > MANY) cull();
}

function cull() {
  // What is far out of sight is taken out of the document: even unseen, it would be styled again at every zoom.
  // Half a screen around stays, so that the next key finds its box.
  const { width, height } = svg.getBoundingClientRect();
  const left = (-width / 2 - at.x) / at.zoom, right = (1.5 * width - at.x) / at.zoom;
  const top = (-height / 2 - at.y) / at.zoom, bottom = (1.5 * height - at.y) / at.zoom;
  for (const [layer, parts] of scene.layers) {
    let next = null;
    for (let j = parts.length - 1; j >= 0; j--) {
      const part = parts[j], [x0, y0, x1, y1] = part.bounds;
      if (x1 < left || x0 > right || y1 < top || y0 > bottom) part.remove();
      else {
        if (!part.parentNode) layer.insertBefore(part, next);
        next = part;
      }
    }
  }
}

function fit(readable) {
  const { width, height } = svg.getBoundingClientRect();
  const margin = 16;
  let zoom = Math.min((width - 2 * margin) / scene.root.w, (height - 2 * margin) / scene.root.h, 1.4);
  const whole = (width - 2 * margin) / scene.root.w;
  if (readable && zoom < 0.6) zoom = Math.max(zoom, Math.min(0.9, Math.max(whole, 0.4)));  // tall: begin at the top
  at.zoom = zoom;
  at.x = (width - scene.root.w * zoom) / 2;
  at.y = Math.max(margin, (height - scene.root.h * zoom) / 2);
  if (scene.root.w * zoom > width) at.x = margin;
  move();
}

function zoomBy(factor, x, y) {
  const { width, height } = svg.getBoundingClientRect();
  if (x === undefined) { x = width / 2; y = height / 2; }
  const zoom = Math.min(Math.max(at.zoom * factor, 0.01), 6);
  at.x = x - (x - at.x) * (zoom / at.zoom);
  at.y = y - (y - at.y) * (zoom / at.zoom);
  at.zoom = zoom;
  move();
}

function bringIn(box, middle) {
  const { width, height } = svg.getBoundingClientRect();
  const h = box.children ? Math.min(box.h, 60) : box.h;
  const x = (box.x + box.w / 2) * at.zoom + at.x, y = (box.y + h / 2) * at.zoom + at.y;
  const seen = x > 40 && x < width - 40 && y > 40 && y < height - 40;
  if (seen && !middle) return;
  if (middle) at.zoom = Math.max(at.zoom, 0.8);
  at.x = width / 2 - (box.x + box.w / 2) * at.zoom;
  at.y = height / 2 - (box.y + h / 2) * at.zoom;
  move();
}

svg.addEventListener("wheel", (event) => {
  event.preventDefault();
  const frame = svg.getBoundingClientRect();
  zoomBy(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.clientX - frame.left, event.clientY - frame.top);
}, { passive: false });

// One finger or the mouse moves, two fingers zoom.
let drag = null;
const fingers = new Map();

function pinch(event) {
  const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
  const before = fingers.get(event.pointerId), frame = svg.getBoundingClientRect();
  const far = (p) => Math.hypot(p.x - other.x, p.y - other.y) || 1;
  const now = { x: event.clientX, y: event.clientY };
  zoomBy(far(now) / far(before), (now.x + other.x) / 2 - frame.left, (now.y + other.y) / 2 - frame.top);
  fingers.set(event.pointerId, now);
}

svg.addEventListener("pointerdown", (event) => {
  if (event.pointerType === "touch") fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  if (fingers.size === 2) drag = null;
  else if (event.button === 0) drag = { x: event.clientX, y: event.clientY, left: at.x, top: at.y, moved: false };
});
window.addEventListener("pointermove", (event) => {
  if (fingers.size === 2 && fingers.has(event.pointerId)) pinch(event);
  else if (fingers.has(event.pointerId)) fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  if (!drag) return;
  const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
  if (Math.abs(dx) + Math.abs(dy) > 4) { drag.moved = true; svg.classList.add("dragged"); $("tip").hidden = true; }
  if (drag.moved) { at.x = drag.left + dx; at.y = drag.top + dy; move(); }
});
let dragged = false;
window.addEventListener("pointerup", (event) => {
  fingers.delete(event.pointerId);
  dragged = Boolean(drag && drag.moved);
  drag = null;
  svg.classList.remove("dragged");
});
window.addEventListener("pointercancel", (event) => { fingers.delete(event.pointerId); drag = null; });
