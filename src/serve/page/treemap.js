/* A treemap of bytes by module: a click on a module shows its parts, a click on a part chooses it. */
import {button, bytesText, el, svg} from "./dom.js";

const WIDTH = 1000;
const HEIGHT = 420;
const MOST = 400; /* rectangles at a time */
const FEW = 6;

/* {name: "model.layers.0.weight", bytes} -> a tree by the parts of the names. */
function treeOf(leaves) {
  const root = {name: "", path: "", bytes: 0, children: new Map(), kinds: new Map()};
  for (const leaf of leaves) {
    let at = root;
    const parts = leaf.name.split(".");
    parts.forEach((part, depth) => {
      at.bytes += leaf.bytes;
      at.kinds.set(leaf.kind, (at.kinds.get(leaf.kind) || 0) + leaf.bytes);
      if (!at.children.has(part)) at.children.set(part, {name: part, path: parts.slice(0, depth + 1).join("."), parent: at, bytes: 0, children: new Map(), kinds: new Map()});
      at = at.children.get(part);
    });
    at.bytes += leaf.bytes;
    at.kinds.set(leaf.kind, (at.kinds.get(leaf.kind) || 0) + leaf.bytes);
    at.leaf = leaf;
  }
  return root;
}

/* A step in a chain without branches is no choice: the end of the chain stands for it. */
function through(node) {
  let found = node;
  while (found.children.size === 1 && !found.leaf) found = [...found.children.values()][0];
  return found;
}

/* Squarified layout (Bruls, Huizing, van Wijk 2000): rows whose rectangles are as square as can be. */
function layout(nodes, box) {
  const placed = [];
  const items = nodes.filter((node) => node.bytes > 0).sort((a, b) => b.bytes - a.bytes).slice(0, MOST);
  const total = items.reduce((sum, node) => sum + node.bytes, 0);
  const scale = total ? (box.w * box.h) / total : 0;
  let {x, y, w, h} = box;
  let from = 0;
  while (from < items.length) {
    const side = Math.min(w, h);
    let to = from;
    let area = 0;
    let worst = Infinity;
    while (to < items.length) {
      const next = area + items[to].bytes * scale;
      const thick = next / side;
      const ratio = Math.max(...[items[from], items[to]].map((node) => {
        const long = (node.bytes * scale) / thick;
        return Math.max(long / thick, thick / long);
      }));
      if (ratio > worst) break;
      worst = ratio;
      area = next;
      to++;
    }
    const thick = area / side;
    let along = 0;
    for (const node of items.slice(from, to)) {
      const long = (node.bytes * scale) / thick;
      placed.push(w >= h ? {node, x, y: y + along, w: thick, h: long} : {node, x: x + along, y, w: long, h: thick});
      along += long;
    }
    if (w >= h) {
      x += thick;
      w -= thick;
    } else {
      y += thick;
      h -= thick;
    }
    from = to;
  }
  return placed;
}

/*
 * What is shown of a node: its parts, the largest of which is opened while they are few. A module that is little more than
 * one of its parts would else be a single rectangle.
 */
function partsOf(node) {
  let parts = [...node.children.values()];
  while (parts.length && parts.length < FEW) {
    const largest = parts.reduce((most, part) => (part.bytes > most.bytes ? part : most));
    const inner = through(largest).children;
    if (!inner.size || largest.bytes < node.bytes / 2) break;
    parts = parts.filter((part) => part !== largest).concat([...inner.values()]);
  }
  return parts;
}

function kindOf(node) {
  return [...node.kinds.entries()].sort((a, b) => b[1] - a[1])[0][0];
}

function cell(place, colours, base, act) {
  const {node, x, y, w, h} = place;
  const shown = through(node);
  const label = base ? shown.path.slice(base.length + 1) : shown.path;
  const fits = Math.floor((w - 8) / 7.2);
  const title = `${shown.path}: ${bytesText(node.bytes)}, ${kindOf(node)}`;
  const lines = w > 34 && h > 18 ? [svg("text", {x: x + 5, y: y + 16}, label.length > fits ? `${label.slice(0, Math.max(1, fits - 1))}…` : label)] : [];
  if (w > 60 && h > 36) lines.push(svg("text", {x: x + 5, y: y + 33}, bytesText(node.bytes)));
  return svg("g", {tabindex: "0", role: "button", "aria-label": title, onclick: act, onkeydown: (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      act();
    }
  }}, svg("title", null, title), svg("rect", {x, y, width: Math.max(0, w), height: Math.max(0, h), class: colours.get(kindOf(node))}), lines);
}

export function treemap(leaves, choose) {
  const root = treeOf(leaves);
  const colours = new Map();
  let next = 0;
  for (const [kind] of [...root.kinds.entries()].sort((a, b) => b[1] - a[1])) colours.set(kind, kind === "set aside" ? "kindset" : `kind${next++ % 8}`);
  const trail = el("nav", {class: "row", "aria-label": "Place in the map"});
  const stage = el("div");
  const legend = el("div", {class: "legend"}, [...colours.entries()].map(([kind, colour]) => el("span", null,
    svg("svg", {viewBox: "0 0 10 10", "aria-hidden": "true"}, svg("rect", {width: 10, height: 10, class: colour})), `${kind}: ${bytesText(root.kinds.get(kind))}`)));
  const show = (wanted, focus) => {
    const node = wanted.parent ? through(wanted) : wanted;
    if (node.leaf && !node.children.size) return choose(node.leaf.name);
    const chain = [];
    for (let at = node; at; at = at.parent) chain.unshift(at);
    trail.replaceChildren(...chain.map((one) => button(one.name || "all", () => show(one, true), {class: "small", "aria-current": one === node ? "true" : null})));
    const small = matchMedia("(max-width: 520px)").matches;
    const box = {x: 0, y: 0, w: small ? 340 : WIDTH, h: HEIGHT};
    const drawing = svg("svg", {class: "treemap", viewBox: `0 0 ${box.w} ${box.h}`, role: "group", "aria-label": `Bytes by module: ${node.path || "all"}`},
      layout(partsOf(node), box).map((place) => cell(place, colours, node.path, () => show(place.node, true))));
    stage.replaceChildren(drawing);
    if (focus && drawing.firstChild) drawing.firstChild.focus();
    return undefined;
  };
  show(root, false);
  return el("div", null, trail, stage, legend);
}
