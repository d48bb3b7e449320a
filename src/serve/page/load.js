/* How busy the server is, from /metrics, once a second. */
import {getText} from "./client.js";
import {bytesText, el, numberText, svg} from "./dom.js";

const POINTS = 60;

/* Prometheus text -> {name: [{labels, value}]} */
export function metricsOf(text) {
  const found = {};
  for (const line of text.split("\n")) {
    const match = /^([A-Za-z_]\w*)(?:\{(.*)\})?\s+(\S+)/.exec(line);
    if (match) (found[match[1]] ||= []).push({labels: match[2] || "", value: Number(match[3])});
  }
  return found;
}

function sum(metrics, name) {
  return metrics[name] ? metrics[name].reduce((total, one) => total + one.value, 0) : null;
}

function rate(now, before, name) {
  if (!before || sum(now.metrics, name) === null) return null;
  return Math.max(0, (sum(now.metrics, name) - sum(before.metrics, name)) / ((now.at - before.at) / 1000));
}

function mean(now, before, name) {
  const count = sum(now.metrics, `${name}_count`) - (before ? sum(before.metrics, `${name}_count`) : 0);
  const total = sum(now.metrics, `${name}_sum`) - (before ? sum(before.metrics, `${name}_sum`) : 0);
  return count > 0 ? total / count : null;
}

const seconds = (value) => (value === null ? "–" : value < 1 ? `${(1000 * value).toFixed(1)} ms` : `${value.toFixed(2)} s`);
const share = (value) => (value === null ? "–" : `${(100 * value).toFixed(1)} %`);

const ofAll = (text, value, now, name) => (value === null ? "–" : `${text(value)} of ${text(sum(now.metrics, name))}`);

/* Each row: title, how it is written, and its number now. */
const ROWS = [
  ["Requests running", numberText, (now) => sum(now.metrics, "tare_requests_running")],
  ["Requests waiting", numberText, (now) => sum(now.metrics, "tare_requests_waiting")],
  ["Slots in use", (value, now) => ofAll(numberText, value, now, "tare_slots"), (now) => sum(now.metrics, "tare_slots_used")],
  ["Tokens made a second", numberText, (now, before) => rate(now, before, "tare_generated_tokens_total")],
  ["Prompt tokens a second", numberText, (now, before) => rate(now, before, "tare_prompt_tokens_total")],
  ["Prompt tokens from the cache", share, (now) => {
    const all = sum(now.metrics, "tare_prompt_tokens_total");
    return all ? sum(now.metrics, "tare_cached_prompt_tokens_total") / all : null;
  }],
  ["Prompts that continue a kept state", share, (now) => {
    const all = sum(now.metrics, "tare_prefix_lookups_total");
    return all ? sum(now.metrics, "tare_prefix_hits_total") / all : null;
  }],
  ["States kept", numberText, (now) => sum(now.metrics, "tare_cached_states")],
  ["Cache of keys and values in use", share, (now) => sum(now.metrics, "tare_kv_cache_usage_ratio")],
  ["First token after", seconds, (now) => mean(now, null, "tare_time_to_first_token_seconds")],
  ["Between two tokens", seconds, (now, before) => mean(now, before, "tare_inter_token_seconds")],
  ["Requests so far", numberText, (now) => sum(now.metrics, "tare_requests_total")],
  ["Cancelled", numberText, (now) => sum(now.metrics, "tare_cancelled_requests_total")],
  ["States of texts", (value, now) => ofAll(bytesText, value, now, "tare_state_limit_bytes"), (now) => sum(now.metrics, "tare_state_bytes")],
  ["Models in memory", (value, now) => (value === null ? "–" : `${value} of ${now.metrics.tare_model_loaded.length}`), (now) => sum(now.metrics, "tare_model_loaded")],
  ["Memory of the server", (value) => (value === null ? "–" : bytesText(value)), (now) => sum(now.metrics, "process_resident_memory_bytes")],
];

function spark(values) {
  const known = values.filter((value) => value !== null);
  const most = Math.max(...known, 1e-9);
  const points = values.map((value, at) => (value === null ? null : `${((at + POINTS - values.length) * 120) / (POINTS - 1)},${28 - (26 * value) / most}`)).filter(Boolean);
  return svg("svg", {viewBox: "0 0 120 30", class: "spark", "aria-hidden": "true"}, svg("polyline", {points: points.join(" ")}));
}

/* Fills the place; returns what stops it. */
export function loadView(place) {
  const history = ROWS.map(() => []);
  const cards = ROWS.map(([title]) => el("div", {class: "card"}, el("h2", null, title), el("p", {class: "figure"}, "–"), spark([])));
  const note = el("p", {class: "bad", role: "alert"});
  place.replaceChildren(el("div", {class: "page"}, note, el("div", {class: "cards"}, cards)));
  let before = null;
  const read = async () => {
    try {
      const now = {at: performance.now(), metrics: metricsOf(await getText("/metrics"))};
      note.textContent = "";
      ROWS.forEach(([, text, value], at) => {
        const number = value(now, before);
        history[at] = history[at].concat([number]).slice(-POINTS);
        cards[at].hidden = history[at].every((one) => one === null); /* the server does not tell it */
        cards[at].children[1].textContent = text(number, now);
        cards[at].children[2].replaceWith(spark(history[at]));
      });
      before = now;
    } catch (error) {
      note.textContent = error.message;
    }
  };
  read();
  const timer = setInterval(read, 1000);
  return () => clearInterval(timer);
}
