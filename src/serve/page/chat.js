/* The view of a chat: the list of conversations, the messages, and the box to write in. */
import {answer} from "./answer.js";
import {button, copy, download, el} from "./dom.js";
import {markdown} from "./markdown.js";
import {schemaFault, settingsForm} from "./settings.js";
import * as store from "./store.js";
import {hideTip, tokenView} from "./tokens.js";

let model = null;
let current = null;
let stopping = null;
const editing = new Set();
const plain = new Set();

const sidebar = el("nav", {class: "side", "aria-label": "Conversations"});
const messages = el("div", {class: "messages", role: "log", "aria-label": "Messages", "aria-live": "polite", tabindex: "0"});
const status = el("p", {class: "hidden", role: "status", "aria-live": "polite"});
const problem = el("p", {class: "bad", role: "alert"});
const box = el("textarea", {id: "box", rows: 2, "aria-label": "Message", placeholder: "Write a message. Enter sends, Shift+Enter starts a line, Escape stops."});
const send = el("button", {type: "submit", class: "strong", id: "send"}, "Send");
const stop = button("Stop", () => stopping && stopping.abort(), {id: "stop", hidden: true, class: "strong"});
const panel = el("details", {class: "panel", id: "settings"}, el("summary", null, "Settings"));

function keep() {
  problem.textContent = store.save() ? "" : "The browser's storage is full: export and delete conversations.";
}

function statsText(node) {
  const parts = [];
  if (node.stats && node.stats.tokens) parts.push(`${node.stats.tokens} tokens`);
  if (node.stats && node.stats.rate) parts.push(`${node.stats.rate.toFixed(1)} tokens/s`);
  if (node.stats && node.stats.first !== null) parts.push(`first after ${node.stats.first.toFixed(2)} s`);
  const cached = node.usage && node.usage.prompt_tokens_details && node.usage.prompt_tokens_details.cached_tokens;
  if (cached) parts.push(`${cached} of the prompt from the cache`);
  if (node.finish === "length") parts.push("cut: most tokens reached");
  if (node.finish === "stopped") parts.push("stopped");
  return parts.join(" · ");
}

/* The part of a message that changes while it streams. */
function body(node) {
  const parts = [];
  if (node.reasoning) parts.push(el("details", {class: "reasoning"}, el("summary", null, "Reasoning"), markdown(node.reasoning)));
  if (node.tokens && node.tokens.length && !plain.has(node.id)) parts.push(tokenView(node.tokens));
  else if (node.role === "user") parts.push(el("p", {class: "written"}, node.content));
  else parts.push(...markdown(node.content));
  if (node.error) parts.push(el("p", {class: "bad", role: "alert"}, node.error));
  return parts;
}

function turn(node, step) {
  const all = store.branches(current, node);
  store.show(current, all[all.indexOf(node) + step]);
  keep();
  draw();
}

function switcher(node) {
  const all = store.branches(current, node);
  if (all.length < 2) return null;
  const at = all.indexOf(node);
  return el("span", {class: "branches"},
    button("‹", () => turn(node, -1), {class: "small", disabled: at === 0 || !!stopping, "aria-label": "Branch before"}),
    ` ${at + 1} / ${all.length} `,
    button("›", () => turn(node, 1), {class: "small", disabled: at === all.length - 1 || !!stopping, "aria-label": "Branch after"}));
}

function editor(node) {
  const area = el("textarea", {rows: 3, "aria-label": "Edited message"});
  area.value = node.content;
  const leave = () => {
    editing.delete(node.id);
    draw();
  };
  const done = () => {
    editing.delete(node.id);
    const made = store.addNode(current, node.parent, node.role, area.value);
    if (node.role === "user") ask(made);
    else {
      keep();
      draw();
    }
  };
  area.addEventListener("keydown", (event) => {
    if (event.key === "Escape") leave();
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      done();
    }
  });
  queueMicrotask(() => area.focus());
  return el("div", null, area, button("Save as a branch", done, {class: "small"}), button("Cancel", leave, {class: "small"}));
}

function actions(node) {
  const off = !!stopping;
  const made = [button("Copy", () => copy(node.content).then(() => say("Copied.")), {class: "small"}),
    button("Edit", () => {
      editing.add(node.id);
      draw();
    }, {class: "small", disabled: off})];
  if (node.role === "assistant") made.push(button("Regenerate", () => ask(current.nodes[node.parent]), {class: "small regenerate", disabled: off}));
  if (node.tokens && node.tokens.length)
    made.push(button("Tokens", () => {
      if (!plain.delete(node.id)) plain.add(node.id);
      draw();
    }, {class: "small", "aria-pressed": String(!plain.has(node.id))}));
  return el("div", {class: "actions"}, made, switcher(node), el("span", {class: "faint"}, statsText(node)));
}

function message(node) {
  const name = node.role === "user" ? "You" : "Model";
  const inner = editing.has(node.id) ? [editor(node)] : [el("div", {class: "body"}, body(node)), actions(node)];
  return el("article", {class: `message ${node.role}`, "data-id": node.id, "aria-label": name}, el("h2", null, name), inner);
}

function drawSide() {
  const items = store.list().map((one) => el("li", null,
    button(one.title, () => open(one), {class: "title", "aria-current": one === current ? "true" : null, disabled: !!stopping}),
    button("×", () => forget(one), {class: "small", "aria-label": `Delete ${one.title}`, disabled: !!stopping})));
  sidebar.replaceChildren(el("div", {class: "row"}, button("New chat", () => open(store.create()), {id: "new", disabled: !!stopping}),
    button("Export", () => download("tare-chats.json", "application/json", JSON.stringify(store.list(), null, 1)))), el("ul", null, items));
}

/* Draws everything but the settings, whose form must keep the focus. */
function draw() {
  hideTip();
  const path = store.pathOf(current);
  messages.replaceChildren(...(path.length ? path.map(message) : [el("p", {class: "faint empty"}, "Nothing said yet. Conversations stay in this browser.")]));
  messages.setAttribute("aria-busy", String(!!stopping));
  send.hidden = !!stopping;
  stop.hidden = !stopping;
  drawSide();
  messages.scrollTop = messages.scrollHeight;
}

function say(text) {
  status.textContent = text;
}

function open(conversation) {
  current = conversation;
  panel.replaceChildren(panel.firstChild, settingsForm(conversation, keep));
  draw();
  box.focus();
}

function forget(conversation) {
  store.remove(conversation);
  open(current === conversation ? store.list()[0] || store.create() : current);
}

/* Draws one message again, at most once a frame. */
function refresher(node) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      const at = messages.querySelector(`[data-id="${node.id}"] .body`);
      const follows = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 60;
      if (at) at.replaceChildren(...body(node));
      if (follows) messages.scrollTop = messages.scrollHeight;
    });
  };
}

/* Adds an answer below a question. */
async function ask(question) {
  if (stopping) return;
  const fault = schemaFault(current.settings.schema);
  if (fault) {
    problem.textContent = fault;
    panel.open = true;
    return;
  }
  const conversation = current;
  const node = store.addNode(conversation, question.id, "assistant", "");
  stopping = new AbortController();
  draw();
  say("The model is answering.");
  await answer(conversation, node, model, stopping.signal, refresher(node));
  stopping = null;
  keep();
  draw();
  say(node.error ? node.error : node.finish === "stopped" ? "Stopped." : "The answer is complete.");
}

function submit(event) {
  event.preventDefault();
  const text = box.value;
  if (!text.trim() || stopping) return;
  box.value = "";
  const path = store.pathOf(current);
  ask(store.addNode(current, path.length ? path[path.length - 1].id : null, "user", text));
}

/* The model that is asked from now on. */
export function useModel(id) {
  model = id;
}

export function chatView(place) {
  const form = el("form", {class: "write", onsubmit: submit}, box, el("div", {class: "row"}, send, stop));
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && stopping) stopping.abort();
  });
  const older = el("details", {class: "panel"}, el("summary", null, "Conversations"), sidebar);
  place.replaceChildren(el("div", {class: "chat"}, el("div", {class: "talk"}, messages, problem, status, form), el("div", {class: "aside"}, older, panel)));
  if (matchMedia("(min-width: 900px)").matches) older.open = panel.open = true;
  open(store.list()[0] || store.create());
}
