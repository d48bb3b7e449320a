/*
 * The plan of a checkpoint as people want to see it. The data are those of POST /tare/plan: {plan, sources, config}, where
 * plan is the JSON of `tare explain`. `module(name)` gives a module's histograms, or is null in a file without a server.
 */
import {bytesText, el, numberText} from "./dom.js";
import {moduleView} from "./histogram.js";
import {tensorTable} from "./tensors.js";
import {treemap} from "./treemap.js";

const DECISIONS = {drop: "dropped: the model takes its embedding", preserve: "kept as the model's own", load: "loaded: the model has a head"};
const PROOFS = {equal: "its numbers equal the embedding's", differs: "its numbers differ from the embedding's"};

function facts(pairs) {
  return el("dl", {class: "facts"}, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .flatMap(([name, value]) => [el("dt", null, name), el("dd", null, value)]));
}

function headCard(data, head) {
  const aside = data.plan.set_aside.filter((one) => one.name.includes("head") || one.rule.includes("head"));
  const bytes = aside.reduce((sum, one) => sum + (data.sizes.get(one.name) || 0), 0);
  return el("section", {class: head.decision === "drop" ? "head dropped" : "head", "aria-label": "Output head"},
    el("h2", null, "Output head: ", head.prefix),
    el("p", {class: "decision"}, DECISIONS[head.decision] || head.decision),
    facts([
      ["Evidence", head.evidence === "none" ? "none" : `${head.evidence} (${head.where})`],
      ["Level", head.owner],
      ["Proof", head.proof ? PROOFS[head.proof] || head.proof : "not compared with the embedding"],
      ["Set aside", head.decision === "drop" && aside.length ? `${aside.length} tensors, ${bytesText(bytes)}: ${aside.map((one) => one.name).join(", ")}` : ""],
    ]));
}

function verdict(plan) {
  const doubts = plan.findings.filter((one) => one.level !== "note").length;
  if (!plan.loads) return el("p", {class: "bad"}, "Does not load; the findings say why.");
  return el("p", null, doubts ? `Loads, with ${doubts} finding${doubts === 1 ? "" : "s"}.` : "Sound: it loads, and every tensor is accounted for.");
}

function summary(data) {
  const {plan} = data;
  const formats = plan.formats.map((one) => `${one.packing}${one.bits ? ` ${one.bits} bits, group ${one.group_size}` : ""} × ${one.modules}`);
  const all = [...data.sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
  return el("section", null, el("h2", null, plan.model), verdict(plan), facts([
    ["Model type", plan.model_type || "not known"],
    ["Formats", formats.join("; ")],
    ["Size", `${bytesText(all)} in ${plan.counts.sources} tensors`],
    ["Account", `${plan.counts.used} used, ${plan.counts.set_aside} set aside, ${plan.counts.unexpected} unexpected; ${plan.counts.bound} of ${plan.counts.parameters} parameters bound`],
    ["tare", plan.tare],
  ]));
}

function findings(plan) {
  if (!plan.findings.length) return null;
  return el("section", null, el("h2", null, "Findings"), el("ul", null, plan.findings.map((one) =>
    el("li", null, el("strong", {class: `level-${one.level}`}, one.level), ` ${one.code}: ${one.where ? `${one.where}: ` : ""}${one.text}`))));
}

function rows(list, columns) {
  return el("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": "Table"}, el("table", null,
    el("thead", null, el("tr", null, columns.map(([title]) => el("th", {scope: "col"}, title)))),
    el("tbody", null, list.map((one) => el("tr", null, columns.map(([, text]) => el("td", null, text(one))))))));
}

const shapeText = (shape) => (shape ? shape.join(" × ") : "");

function setAside(data) {
  const {plan, sizes} = data;
  const part = (title, list, columns) => (list.length ? el("section", null, el("h2", null, title), rows(list, columns)) : null);
  const name = ["Tensor", (one) => one.name];
  const shape = ["Shape", (one) => shapeText(one.shape)];
  return [
    part("Set aside, and why", plan.set_aside, [name, shape, ["Type", (one) => one.dtype], ["Bytes", (one) => bytesText(sizes.get(one.name) || 0)], ["Rule", (one) => one.rule], ["Rests on", (one) => one.evidence || ""]]),
    part("Missing", plan.missing, [name, shape]),
    part("Unexpected", plan.unexpected, [name, shape, ["Type", (one) => one.dtype]]),
    part("Misshapen", plan.misshapen, [name, shape, ["Expected", (one) => shapeText(one.expected)]]),
  ];
}

/* Keys that the decision about the head names, those of the quantization, and the sizes come first. */
function configRows(data) {
  const named = new Set(data.plan.head.flatMap((one) => `${one.where} ${one.evidence}`.split(/[^\w.]+/)));
  const first = (key) => (named.has(key) ? 0 : /quant/.test(key) ? 1 : /^(model_type|architectures|tie_word)/.test(key) ? 2 : 3);
  return Object.entries(data.config).map(([key, value]) => ({key, value, decided: named.has(key)})).sort((a, b) => first(a.key) - first(b.key));
}

function config(data) {
  if (!data.config) return null;
  return el("section", null, el("h2", null, "Keys of config.json"), rows(configRows(data), [
    ["Key", (one) => (one.decided ? el("strong", null, one.key) : one.key)],
    ["Value", (one) => [el("code", null, JSON.stringify(one.value)), one.decided ? " decided about the head" : ""]],
  ]));
}

/* The bytes of each leaf of the map: a parameter's sources; a source of several parameters is shared among them. */
function leavesOf(data) {
  const users = new Map();
  for (const one of data.plan.parameters) for (const source of one.sources) users.set(source, (users.get(source) || 0) + 1);
  const leaves = data.plan.parameters.map((one) => ({
    name: one.name,
    kind: one.packing && one.bits ? `${one.packing}, ${one.bits} bits` : one.packing || one.dtype,
    bytes: one.sources.reduce((sum, source) => sum + (data.sizes.get(source) || 0) / users.get(source), 0),
  }));
  return leaves.concat(data.plan.set_aside.map((one) => ({name: one.name, kind: "set aside", aside: true, bytes: data.sizes.get(one.name) || 0})));
}

export function inspectView(place, given, module) {
  const data = {...given, sizes: new Map(given.sources.map((one) => [one.name, one.bytes]))};
  const detail = el("section", {id: "module", "aria-live": "polite"});
  const choose = async (name) => {
    const parameter = data.plan.parameters.find((one) => one.name === name);
    detail.replaceChildren(el("h2", null, name), parameter ? facts([
      ["Way", `${parameter.sources.join(", ")} → ${parameter.recipe || "as it is"} → ${name}`],
      ["Format", `${parameter.packing}${parameter.bits ? ` ${parameter.bits} bits, group ${parameter.group_size}` : ""}`],
      ["Shape", shapeText(parameter.shape)]]) : null);
    if (module && parameter) {
      try {
        detail.append(...moduleView(await module(name)));
      } catch (error) {
        detail.append(el("p", {class: "bad"}, error.message));
      }
    }
    detail.scrollIntoView({block: "nearest"});
  };
  place.replaceChildren(el("div", {class: "page"},
    data.plan.head.map((head) => headCard(data, head)), summary(data), findings(data.plan), setAside(data),
    el("section", null, el("h2", null, "Bytes by module"), treemap(leavesOf(data), choose)), detail,
    tensorTable(data, choose), config(data),
    el("p", {class: "faint"}, `${numberText(data.plan.parameters.length)} parameters; made by tare ${data.plan.tare}`)));
}
