/* The form beside a chat: system prompt, sampling, schema, token probabilities, key. */
import {keyGet, keySet} from "./client.js";
import {el, field} from "./dom.js";
import {keepSettings} from "./store.js";

const NUMBERS = [
  ["temperature", "Temperature", 0, 2, 0.05, "0: always the likeliest"],
  ["top_p", "Top p", 0, 1, 0.01, ""],
  ["top_k", "Top k", 0, 1000000, 1, "0: all"],
  ["min_p", "Min p", 0, 1, 0.01, ""],
  ["repetition_penalty", "Repetition penalty", 0.01, 2, 0.01, ""],
  ["max_tokens", "Most tokens", 1, 1000000, 1, ""],
  ["seed", "Seed", -9007199254740991, 9007199254740991, 1, "empty: another one each time"],
];

function numberInput(settings, name, least, most, step, changed) {
  const input = el("input", {type: "number", name, min: least, max: most, step: step === 1 ? 1 : "any", value: settings[name] ?? "",
    oninput: () => {
      if (!input.checkValidity()) return;
      settings[name] = input.value === "" ? (name === "seed" ? null : settings[name]) : Number(input.value);
      changed();
    }});
  return input;
}

function textInput(settings, name, properties, changed) {
  const area = el("textarea", {name, rows: 3, spellcheck: name === "system" ? null : "false", ...properties,
    oninput: () => {
      settings[name] = area.value;
      changed();
    }});
  area.value = settings[name];
  return area;
}

/* What is wrong with the text of a schema, or "". */
export function schemaFault(text) {
  if (!text.trim()) return "";
  try {
    const schema = JSON.parse(text);
    return schema && typeof schema === "object" && !Array.isArray(schema) ? "" : "A schema is a JSON object.";
  } catch (error) {
    return `Not JSON: ${error.message}`;
  }
}

function schemaField(settings, changed) {
  const fault = el("small", {class: "bad", role: "alert"});
  const area = textInput(settings, "schema", {placeholder: '{"type": "object", ...}', class: "mono"}, () => {
    fault.textContent = schemaFault(settings.schema);
    area.setAttribute("aria-invalid", String(!!fault.textContent));
    changed();
  });
  fault.textContent = schemaFault(settings.schema);
  return el("div", null, field("JSON schema of the answer", area), fault);
}

export function settingsForm(conversation, onChange) {
  const settings = conversation.settings;
  const changed = () => {
    keepSettings(settings);
    onChange();
  };
  const key = el("input", {type: "password", autocomplete: "new-password", value: keyGet(), onchange: () => keySet(key.value)});
  const probabilities = el("input", {type: "checkbox", name: "probabilities", checked: settings.probabilities, onchange: () => {
    settings.probabilities = probabilities.checked;
    changed();
  }});
  return el("form", {class: "settings", "aria-label": "Settings", onsubmit: (event) => event.preventDefault()},
    field("System prompt", textInput(settings, "system", {}, changed)),
    el("div", {class: "pairs"}, NUMBERS.map(([name, label, least, most, step, hint]) => field(label, numberInput(settings, name, least, most, step, changed), hint))),
    field("Stop texts, one a line", textInput(settings, "stop", {rows: 2}, changed)),
    schemaField(settings, changed),
    el("label", {class: "check"}, probabilities, " Token probabilities"),
    field("API key", key, "only where the server asks for one; forgotten with this tab"));
}

/* The fields of a request that the settings stand for. */
export function requestFields(settings) {
  const fields = {
    temperature: settings.temperature,
    top_p: settings.top_p,
    top_k: settings.top_k,
    min_p: settings.min_p,
    repetition_penalty: settings.repetition_penalty,
    max_tokens: settings.max_tokens,
  };
  const stops = settings.stop.split("\n").filter((line) => line);
  if (settings.seed !== null) fields.seed = settings.seed;
  if (stops.length) fields.stop = stops;
  if (settings.schema.trim()) fields.response_format = {type: "json_schema", json_schema: {name: "answer", strict: true, schema: JSON.parse(settings.schema)}};
  if (settings.probabilities) Object.assign(fields, {logprobs: true, top_logprobs: 5});
  return fields;
}
