/* The histograms of one module: its codes, scales and zeros, or its numbers where it is not packed. */
import {el, numberText, svg} from "./dom.js";

const WIDE = 560;
const HIGH = 150;

/* bins: counts; from, to: what the first and the last one stand for. */
export function histogram(title, bins, from, to) {
  const most = Math.max(...bins, 1);
  const all = bins.reduce((sum, count) => sum + count, 0);
  const step = WIDE / bins.length;
  const bars = bins.map((count, at) => {
    const high = (count / most) * (HIGH - 30);
    const value = bins.length > 1 ? from + ((to - from) * at) / (bins.length - 1) : from;
    return svg("rect", {x: at * step, y: HIGH - 18 - high, width: Math.max(step - (step > 4 ? 1 : 0), 0.5), height: high},
      svg("title", null, `${numberText(value)}: ${numberText(count)} (${((100 * count) / Math.max(all, 1)).toFixed(2)} %)`));
  });
  return el("figure", null, el("figcaption", null, title),
    svg("svg", {class: "histogram", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": `${title}, from ${numberText(from)} to ${numberText(to)}`}, bars,
      svg("line", {x1: 0, x2: WIDE, y1: HIGH - 18, y2: HIGH - 18}),
      svg("text", {x: 0, y: HIGH - 4}, numberText(from)), svg("text", {x: WIDE, y: HIGH - 4, "text-anchor": "end"}, numberText(to))));
}

function spread(title, one) {
  if (!one) return null;
  if (one.least === one.most) return el("p", null, `${title}: all ${numberText(one.least)}`);
  return histogram(`${title}, mean ${numberText(one.mean)}`, one.bins, one.least, one.most);
}

export function moduleView(module) {
  const sampled = module.rows_read < module.rows ? `${numberText(module.rows_read)} of ${numberText(module.rows)} rows were read, evenly spread. ` : "";
  return [
    el("p", {class: "faint"}, `${sampled}${module.act_order ? "Columns are grouped in the order of activations. " : ""}${module.scale_dtype ? `Scales are ${module.scale_dtype}.` : ""}`),
    module.codes ? histogram(module.table ? "Codes (of floats)" : "Codes", module.codes, 0, module.codes.length - 1) : null,
    spread("Scales", module.scales), spread("Zeros", module.zeros), spread("Offsets", module.offsets), spread("Numbers", module.values),
  ].filter(Boolean);
}
