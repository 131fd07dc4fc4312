"use strict";
// The graph as it was written by page_data.py, and what of it is visible: a tree of boxes, and edges between them.

const data = JSON.parse(document.getElementById("data").textContent);
const PIECE = 100;       // of a long sequence this many more items are shown at a time
const LONGEST = 300;     // sequences up to here are shown whole
const WIDEST = 600;      // items of one group that are shown at most: beyond, the window slides
const FAN = 8;           // more parameters than this at one operation are one box
const FIRST_BOXES = 25;  // modules are opened for the start while there are at most so many boxes

const text = (k) => data.strings[k];
const operations = data.operations;
const groups = data.groups.map((g, index) => ({
  index, title: text(g[0]), subtitle: text(g[1]), parent: g[2], count: g[3], start: g[4], stop: g[5], items: g[6],
  total: g[7], made: text(g[8]), sources: [], row: 0,
}));
const sources = data.sources;
const sourceCount = sources.length;
const operationCount = operations.name.length;
const groupOf = new Int32Array(operationCount);  // the group in which an operation stands, and its place there
const rowOf = new Int32Array(operationCount);
for (const group of groups) {
  group.items.forEach((item, row) => {
    if (item < 0) groups[-item].row = row;
    else { groupOf[item] = group.index; rowOf[item] = row; }
  });
}
sources.forEach((source, k) => groups[source.home].sources.push(k));
const badAt = new Map(data.bad);
const badSources = sources.map((source, k) => (source.bad ? k : -1)).filter((k) => k >= 0);
const outputs = new Set(operations.outputs);

// What is open -------------------------------------------------------------------------------------------------------

const openGroups = new Set();   // indices of groups
const windows = new Map();      // group → [first, last) of its items that are shown
const openFans = new Set();     // ids of boxes that stand for many parameters

function windowOf(group) {
  const n = group.items.length;
  return windows.get(group.index) || (n <= LONGEST ? [0, n] : [0, PIECE]);
}

function openAtStart() {
  openGroups.clear();
  windows.clear();
  openFans.clear();
  openGroups.add(0);
  let boxes = boxesInside(groups[0]);
  let level = [groups[0]];
  while (level.length) {
    const next = [];
    for (const parent of level) {
      for (const item of parent.items.slice(...windowOf(parent))) {
        if (item >= 0) continue;
        const more = boxesInside(groups[-item]) - 1;
        if (boxes + more > FIRST_BOXES && boxes > 1) continue;
        if (more > FIRST_BOXES * 2) continue;
        openGroups.add(-item);
        boxes += more;
        next.push(groups[-item]);
      }
    }
    level = next;
  }
}

function boxesInside(group) {
  const [first, last] = windowOf(group);
  return last - first + Math.min(group.sources.length, last - first);
}

function showMore(group, before) {
  let [first, last] = windowOf(group);
  if (before) first = Math.max(0, first - PIECE); else last = Math.min(group.items.length, last + PIECE);
  if (last - first > WIDEST) { if (before) last = first + WIDEST; else first = last - WIDEST; }
  windows.set(group.index, [first, last]);
}

function uncover(index, row) {
  // Open a group, with one of its items among those shown, and the groups around it.
  for (;;) {
    const group = groups[index];
    openGroups.add(index);
    const [first, last] = windowOf(group);
    if (row < first || row >= last) {
      const begin = Math.max(0, row - PIECE / 2);
      windows.set(index, [begin, Math.min(group.items.length, begin + PIECE)]);
    }
    if (group.parent < 0) return;
    row = group.row;
    index = group.parent;
  }
}

function uncoverThing(kind, k) {
  if (kind === "o") uncover(groupOf[k], rowOf[k]);
  else if (kind === "g") uncover(groups[k].parent, groups[k].row);
  else if (sources[k].readers.length) {
    const reader = sources[k].readers[0];
    uncover(groupOf[reader], rowOf[reader]);
  }
  return kind + k;
}

// What is visible ----------------------------------------------------------------------------------------------------

function makeScene() {
  // Boxes: {id, kind, k, parent, start, stop (operations inside), children (of an open group)}, edges between them.
  const boxes = [];
  const byId = new Map();
  const boxOf = new Array(operationCount);
  const frames = new Map();
  const add = (kind, k, parent, start, stop, id = kind + k) => {
    const box = { id, kind, k, parent, start, stop, children: null, number: boxes.length, inputs: [], outputs: [] };
    boxes.push(box);
    byId.set(id, box);
    if (parent) parent.children.push(box);
    return box;
  };
  const hide = (box) => boxOf.fill(box, box.start, box.stop);
  const positionOf = (group, row) => {
    if (row >= group.items.length) return group.stop;
    const item = group.items[row];
    return item < 0 ? groups[-item].start : item;
  };
  const frame = (box) => { box.children = []; frames.set(box.k, box); };
  const root = add("g", 0, null, 0, operationCount);
  frame(root);
  const todo = [root];
  while (todo.length) {
    const parent = todo.pop();
    const group = groups[parent.k];
    const [first, last] = windowOf(group);
    if (first > 0) hide(add("before", parent.k, parent, group.start, positionOf(group, first)));
    for (const item of group.items.slice(first, last)) {
      if (item >= 0) boxOf[item] = add("o", item, parent, item, item + 1);
      else {
        const inner = groups[-item];
        const box = add("g", -item, parent, inner.start, inner.stop);
        if (openGroups.has(-item)) { frame(box); todo.push(box); } else hide(box);
      }
    }
    if (last < group.items.length) hide(add("after", parent.k, parent, positionOf(group, last), group.stop));
  }
  const scene = { boxes, byId, boxOf, root, edges: [], loops: [] };
  addEdges(scene);
  addSources(scene, frames, add);
  return scene;
}

function addEdges(scene) {
  const seen = new Set();
  const among = (pairs, found, loops) => {
    for (let j = 0; j < pairs.length; j += 2) {
      const a = scene.boxOf[pairs[j]], b = scene.boxOf[pairs[j + 1]];
      if (a === b && !(loops && a.kind === "o")) continue;
      const key = (a.number * scene.boxes.length + b.number) * 2 + (loops ? 1 : 0);
      if (seen.has(key)) continue;
      seen.add(key);
      found.push([a, b]);
    }
  };
  among(data.edges, scene.edges, false);
  among(data.handedOn, scene.loops, true);
}

function addSources(scene, frames, add) {
  for (const [index, parent] of frames) {
    const together = new Map();
    for (const k of groups[index].sources) {
      const readers = [...new Set(sources[k].readers.map((i) => scene.boxOf[i]))];
      if (readers.length && readers.every((box) => box.kind === "before" || box.kind === "after")) continue;
      const key = sources[k].kind + readers.map((box) => box.id).join();
      if (!together.has(key)) together.set(key, { readers, members: [] });
      together.get(key).members.push(k);
    }
    for (const [key, { readers, members }] of together) {
      let alone = members;
      const id = `fan${index}:${key}`;
      if (members.length > FAN) {
        alone = openFans.has(id) ? members.slice(0, PIECE) : [];
        const rest = members.slice(alone.length);
        if (rest.length) {
          const box = add("fan", index, parent, 0, 0, id);
          box.members = rest;
          for (const reader of readers) scene.edges.push([box, reader]);
        }
      }
      for (const k of alone) {
        const box = add("s", k, parent, 0, 0);
        for (const reader of readers) scene.edges.push([box, reader]);
      }
    }
  }
}

// Ancestors and descendants of a box, among all operations and sources -----------------------------------------------

let tables = null;

function neighbours() {
  if (tables) return tables;
  const before = Array.from({ length: operationCount }, () => []);
  const after = Array.from({ length: operationCount }, () => []);
  for (const pairs of [data.edges, data.handedOn]) {
    for (let j = 0; j < pairs.length; j += 2) {
      after[pairs[j]].push(pairs[j + 1]);
      before[pairs[j + 1]].push(pairs[j]);
    }
  }
  tables = { before, after };
  return tables;
}

function reach(begin, table) {
  const found = new Uint8Array(operationCount);
  const todo = [...begin];
  while (todo.length) for (const i of table[todo.pop()]) if (!found[i]) { found[i] = 1; todo.push(i); }
  return found;
}

function kin(scene, box) {
  // Numbers of the boxes that a box was computed from, and of those computed from it.
  const { before, after } = neighbours();
  const above = new Set(), below = new Set();
  const members = box.kind === "s" ? [box.k] : box.members || [];
  const inside = [];
  for (let i = box.start; i < box.stop; i++) inside.push(i);
  const reading = members.flatMap((k) => sources[k].readers);
  const up = reach(inside, before);
  const down = reach(members.length ? reading : inside, after);
  for (const i of reading) down[i] = 1;
  const within = (other) => { for (let b = other; b; b = b.parent) if (b === box) return true; return false; };
  for (const other of scene.boxes) {
    if (other === box || other.children) continue;
    if (within(other)) continue;
    for (let i = other.start; i < other.stop; i++) {
      if (up[i]) above.add(other.number);
      if (down[i]) below.add(other.number);
    }
    for (const k of other.kind === "s" ? [other.k] : other.members || []) {
      const read = sources[k].readers.some((i) => up[i] || (i >= box.start && i < box.stop));
      if (!members.length && read) above.add(other.number);
    }
  }
  return { above, below, within };
}
