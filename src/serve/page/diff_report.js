/* What `tare diff --html` shows: the parameters of two checkpoints, the largest difference first. */
import {el, numberText, svg} from "./dom.js";
import {themeButton} from "./theme.js";

const MEANING = {bytes: "equal bytes", codes: "equal codes", values: "equal values", different: "different", shape: "of another shape", "only-first": "only in A", "only-second": "only in B"};
const data = JSON.parse(document.getElementById("data").textContent);

/* Numbers that JSON has no word for are texts: they count as the largest. */
const size = (row) => (row.largest === undefined ? -1 : typeof row.largest === "number" ? row.largest : Infinity);
/* Those that cannot be compared come before all that can; equal ones last. */
const rank = (row) => (["shape", "only-first", "only-second"].includes(row.same) ? 2 : row.same === "different" ? 1 : 0);
const ordered = [...data.parameters].sort((a, b) => rank(b) - rank(a) || size(b) - size(a) || a.name.localeCompare(b.name));
const finite = ordered.map(size).filter((value) => value > 0 && Number.isFinite(value));
const most = Math.max(...finite, 1e-30);

function sideText(side) {
  return side ? `${side.packing}${side.bits ? ` ${side.bits} bits` : ""}${side.group_size ? ` group ${side.group_size}` : ""}` : "–";
}

function bar(row) {
  const share = size(row) === Infinity ? 1 : Math.max(0, size(row)) / most;
  return svg("svg", {viewBox: "0 0 100 10", class: "errorbar", "aria-hidden": "true"}, svg("rect", {width: 100 * share, height: 10}));
}

/* How many parameters differ by how much, a bar for each power of ten. */
function decades() {
  if (!finite.length) return null;
  const of = (value) => Math.floor(Math.log10(value));
  const low = Math.min(...finite.map(of));
  const bins = new Array(Math.max(...finite.map(of)) - low + 1).fill(0);
  for (const value of finite) bins[of(value) - low]++;
  const step = 560 / bins.length;
  const top = Math.max(...bins);
  return el("figure", null, el("figcaption", null, "Parameters by their largest difference"),
    svg("svg", {class: "histogram", viewBox: "0 0 560 150", role: "img", "aria-label": "Parameters by the power of ten of their largest difference"},
      bins.map((count, at) => svg("g", null,
        svg("rect", {x: at * step + 2, y: 130 - (110 * count) / top, width: Math.max(step - 4, 1), height: (110 * count) / top}, svg("title", null, `${count}`)),
        svg("text", {x: at * step + step / 2, y: 145, "text-anchor": "middle"}, `1e${low + at}`),
        svg("text", {x: at * step + step / 2, y: 126 - (110 * count) / top, "text-anchor": "middle"}, count || "")))));
}

function rowOf(row) {
  const share = row.differing === undefined ? "" : `${numberText(row.differing)} of ${numberText(row.elements)}`;
  return el("tr", null, el("td", null, row.name), el("td", null, MEANING[row.same] || row.same), el("td", {class: "right"}, row.largest === undefined ? "" : numberText(row.largest)),
    el("td", null, bar(row)), el("td", null, row.values ? `row ${row.row}, column ${row.column}: ${numberText(row.values[0])} in A, ${numberText(row.values[1])} in B` : ""),
    el("td", {class: "right"}, share), el("td", null, row.sides.map(sideText).join(" | ")));
}

const counts = Object.entries(data.counts).filter(([, count]) => count).map(([same, count]) => `${count} ${MEANING[same] || same}`);
themeButton(document.getElementById("theme"));
document.getElementById("report").replaceChildren(el("div", {class: "page"},
  el("section", {class: data.equal ? "head" : "head dropped"}, el("h2", null, data.equal ? "Equal" : "Different"),
    el("p", null, `A: ${data.models[0]}`), el("p", null, `B: ${data.models[1]}`), el("p", {class: "decision"}, `${data.parameters.length} parameters: ${counts.join(", ")}`)),
  decades(),
  el("section", null, el("h2", null, "Parameters, the largest difference first"), el("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": "Parameters"},
    el("table", null, el("thead", null, el("tr", null, ["Parameter", "Same", "Largest difference", "Plot", "First there", "Numbers that differ", "A | B"].map((title) => el("th", {scope: "col"}, title)))),
      el("tbody", null, ordered.map(rowOf))))),
  el("p", {class: "faint"}, `made by tare ${data.tare}`)));
