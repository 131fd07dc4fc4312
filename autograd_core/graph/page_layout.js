"use strict";
// Places for boxes and paths for edges. Every open module is laid out alone, inner ones first, and is then one box of
// the module around it. An edge that crosses a frame goes through a port on its upper or lower side.

const GAP_X = 18, GAP_Y = 30, PADDING = 12, TITLE = 26, LANE = 10;
const MOST_BENDS = 6000;  // beyond, long edges go straight: a bend costs as much as a box

function layOut(scene) {
  const local = new Map();  // frame → its edges: key → {u, v, source}
  const frames = scene.boxes.filter((box) => box.children);
  for (const frame of frames) {
    local.set(frame, new Map());
    frame.ports = { in: new Map(), out: new Map() };
    frame.gutter = 0;
  }
  const depth = (box) => { let d = 0; for (let b = box.parent; b; b = b.parent) d++; return d; };
  const segments = [];
  const piece = (frame, u, v, source, pair) => {
    const key = `${u.id}|${v.id}|${source.id}`;
    let found = local.get(frame).get(key);
    if (!found) {
      local.get(frame).set(key, (found = { frame, u, v, source, pairs: [], points: [] }));
      segments.push(found);
    }
    found.pairs.push(pair);
  };
  const port = (frame, side, source) => {
    const ports = frame.ports[side];
    if (!ports.has(source.id)) ports.set(source.id, { id: `${side}:${source.id}`, port: side, w: 2, h: 0, x: 0 });
    return ports.get(source.id);
  };
  for (const pair of scene.edges) {
    const [a, b] = pair;
    let u = a, v = b, du = depth(a), dv = depth(b);
    const up = () => { const out = port(u.parent, "out", a); piece(u.parent, u, out, a, pair); u = u.parent; du--; };
    const down = () => { const into = port(v.parent, "in", a); piece(v.parent, into, v, a, pair); v = v.parent; dv--; };
    while (du > dv) up();
    while (dv > du) down();
    while (u.parent !== v.parent) { up(); down(); }
    piece(u.parent, u, v, a, pair);
  }
  scene.loops.forEach(([a, b]) => {
    const frame = around(a, b);
    frame.gutter += 1;
  });
  for (const frame of frames.slice().sort((p, q) => depth(q) - depth(p))) arrangeFrame(frame, [...local.get(frame).values()]);
  for (const frame of frames.slice().sort((p, q) => depth(p) - depth(q))) {
    for (const child of frame.children) { child.x += frame.x; child.y += frame.y; }
  }
  for (const s of segments) for (const p of s.points) { p[0] += s.frame.x; p[1] += s.frame.y; p[2] += s.frame.y; }
  scene.segments = segments;
  scene.curves = loopCurves(scene);
}

function around(a, b) {
  const chain = new Set();
  for (let box = a.parent; box; box = box.parent) chain.add(box);
  let box = b.parent;
  while (!chain.has(box)) box = box.parent;
  return box;
}

function anchor(node, side, source) {
  // Where on its upper or lower side an edge meets a node, from its left.
  if (node.port) return node.w / 2;
  if (node.children) return node.ports[side].get(source.id).x;
  return node.w / 2;
}

function arrangeFrame(frame, edges) {
  const ins = [...frame.ports.in.values()], outs = [...frame.ports.out.values()];
  const nodes = [...ins, ...frame.children, ...outs];
  for (const node of nodes) { node.ins = []; node.outs = []; node.layer = 0; }
  for (const e of edges) { e.u.outs.push(e); e.v.ins.push(e); }
  const order = topological(nodes);
  rank(order, ins.length > 0, outs);
  const links = [];
  const layers = makeLayers(nodes, edges, links);
  sweep(layers);
  place(layers);
  settle(frame, layers);
  for (const e of edges) follow(e);
}

function topological(nodes) {
  const waiting = new Map(nodes.map((n) => [n, n.ins.length]));
  const order = nodes.filter((n) => !n.ins.length);
  for (let j = 0; j < order.length; j++) {
    for (const e of order[j].outs) {
      waiting.set(e.v, waiting.get(e.v) - 1);
      if (!waiting.get(e.v)) order.push(e.v);
    }
  }
  return order;
}

function rank(order, below, outs) {
  const least = below ? 1 : 0;
  for (const n of order) {
    n.layer = n.port === "in" ? 0 : least;
    for (const e of n.ins) n.layer = Math.max(n.layer, e.u.layer + 1);
  }
  // Parameters, and what is computed from nothing else, go down to where they are read.
  for (const n of order) n.free = n.port !== "in" && n.ins.every((e) => e.u.free);
  for (const n of order.slice().reverse()) {
    if (n.free && n.outs.length) n.layer = Math.max(least, Math.min(...n.outs.map((e) => e.v.layer)) - 1);
  }
  const last = Math.max(0, ...order.filter((n) => n.port !== "out").map((n) => n.layer)) + 1;
  for (const n of outs) n.layer = last;
}

function makeLayers(nodes, edges, links) {
  const height = Math.max(0, ...nodes.map((n) => n.layer)) + 1;
  const layers = Array.from({ length: height }, () => []);
  for (const n of nodes) { n.up = []; n.down = []; layers[n.layer].push(n); }
  const long = edges.reduce((sum, e) => sum + e.v.layer - e.u.layer - 1, 0);
  const limit = long > MOST_BENDS ? 12 : Infinity;
  const lanes = new Map();
  const join = (u, v, offU, offV, weight) => {
    const link = { u, v, offU, offV, weight };
    u.down.push(link);
    v.up.push(link);
    links.push(link);
  };
  for (const e of edges) {
    const start = anchor(e.u, "out", e.source), end = anchor(e.v, "in", e.source);
    e.bends = [];
    let before = e.u, off = start;
    if (e.v.layer - e.u.layer <= limit) {
      for (let l = e.u.layer + 1; l < e.v.layer; l++) {
        const key = `${e.u.id}|${e.source.id}|${l}`;
        let bend = lanes.get(key);
        if (!bend) {
          bend = { bend: true, w: 2, h: 0, layer: l, up: [], down: [], id: key };
          lanes.set(key, bend);
          layers[l].push(bend);
          join(before, bend, off, 1, before.bend ? 8 : 2);
        }
        e.bends.push(bend);
        before = bend;
        off = 1;
      }
    }
    const weak = e.u.kind === "s" || e.u.kind === "fan";  // operations stand in a line, parameters beside it
    join(before, e.v, off, end, before.bend ? 2 : weak ? 1 : 4);
  }
  return layers;
}

function sweep(layers) {
  const number = (layer) => layer.forEach((n, j) => { n.at = j; });
  layers.forEach(number);
  const middle = (n, side) => {
    const links = n[side];
    if (!links.length) return n.at;
    let sum = 0;
    for (const link of links) {
      const other = side === "up" ? link.u : link.v;
      const off = side === "up" ? link.offU : link.offV;
      sum += other.at + (other.w > 4 ? off / other.w - 0.5 : 0);
    }
    return sum / links.length;
  };
  for (let round = 0; round < 4; round++) {
    const downwards = round % 2 === 0;
    const list = downwards ? layers : layers.slice().reverse();
    for (const layer of list) {
      const keys = new Map(layer.map((n) => [n, middle(n, downwards ? "up" : "down")]));
      layer.sort((p, q) => keys.get(p) - keys.get(q) || p.at - q.at);
      number(layer);
    }
  }
}

function place(layers) {
  for (const layer of layers) {
    let x = 0;
    for (const n of layer) { n.x = x; x += n.w + space(n); }
    for (const n of layer) n.x -= x / 2;
  }
  for (let round = 0; round < 8; round++) {
    const downwards = round % 2 === 0;
    const list = downwards ? layers : layers.slice().reverse();
    for (const layer of list) {
      const wish = layer.map((n) => {
        let sum = 0, weight = 0;
        const take = (link, to) => { sum += to * link.weight; weight += link.weight; };
        if (downwards || round > 4) for (const l of n.up) take(l, l.u.x + l.offU - l.offV);
        if (!downwards || round > 4) for (const l of n.down) take(l, l.v.x + l.offV - l.offU);
        return weight ? [sum / weight, weight] : [n.x, 0.01];
      });
      apart(layer, wish);
    }
  }
}

const space = (n) => (n.bend || n.port ? LANE : GAP_X);

function apart(layer, wish) {
  // The places nearest to the wishes that keep order and distance: pool adjacent violators.
  const blocks = [];
  let shift = 0;
  layer.forEach((n, j) => {
    let block = { sum: (wish[j][0] - shift) * wish[j][1], weight: wish[j][1], nodes: [[n, shift]] };
    shift += n.w + space(n);
    while (blocks.length && blocks[blocks.length - 1].sum / blocks[blocks.length - 1].weight >= block.sum / block.weight) {
      const last = blocks.pop();
      block = { sum: last.sum + block.sum, weight: last.weight + block.weight, nodes: last.nodes.concat(block.nodes) };
    }
    blocks.push(block);
  });
  for (const block of blocks) for (const [n, off] of block.nodes) n.x = block.sum / block.weight + off;
}

function settle(frame, layers) {
  const all = layers.flat();
  const left = all.length ? Math.min(...all.map((n) => n.x)) : 0;
  const titled = frame.parent !== null;
  let y = titled ? TITLE : PADDING;
  for (const layer of layers) {
    const height = Math.max(0, ...layer.map((n) => n.h));
    for (const n of layer) {
      n.x += PADDING - left;
      n.top = y;
      n.bottom = y + height;
      n.y = y + (height - n.h) / 2;
    }
    y += height + (height || layer[0].bend ? GAP_Y : GAP_Y / 2);
  }
  const right = Math.max(...all.map((n) => n.x + n.w), 0);
  const ends = layers.length && layers[layers.length - 1].some((n) => n.port);
  frame.w = Math.max(right + PADDING + frame.gutter * LANE + (frame.gutter ? 4 : 0), frame.least || 0);
  frame.h = y - GAP_Y + PADDING - (ends ? GAP_Y / 2 - 4 : 0);
  if (!all.length) frame.h = TITLE + PADDING;
  const spare = frame.w - right - PADDING - frame.gutter * LANE;
  if (spare > 8) for (const n of all) n.x += spare / 2;  // a wide title: what is inside stands in the middle
  for (const port of frame.ports.in.values()) { port.x += port.w / 2; port.top = port.bottom = port.y = 0; }
  for (const port of frame.ports.out.values()) { port.x += port.w / 2; port.top = port.bottom = port.y = frame.h; }
  frame.x = 0;
  frame.y = 0;
}

function follow(e) {
  // [x, from y, to y]: straight down through a layer; between layers the drawing swings over.
  const startX = e.u.port ? e.u.x : e.u.x + anchor(e.u, "out", e.source);
  const endX = e.v.port ? e.v.x : e.v.x + anchor(e.v, "in", e.source);
  e.points = [[startX, e.u.y + e.u.h, e.u.bottom]];
  for (const bend of e.bends) e.points.push([bend.x + 1, bend.top, bend.bottom]);
  e.points.push([endX, e.v.top, e.v.y]);
  if (e.u.port) e.points[0] = [startX, 0, 0];
}

function loopCurves(scene) {
  // From a repetition to the next one: out on the right, up along the frame's side, in again.
  const used = new Map();
  return scene.loops.map(([a, b]) => {
    const frame = around(a, b);
    const lane = used.get(frame) || 0;
    used.set(frame, lane + 1);
    const x = frame.x + frame.w - 8 - lane * LANE;
    const from = [a.x + a.w, a.y + a.h * 0.65], to = [b.x + b.w, b.y + b.h * 0.35];
    return { a, b, x, from, to };
  });
}
