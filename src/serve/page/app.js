/* Starts the page: views by the fragment of the address, dark and light, the model's name. */
import {chatView, useModel} from "./chat.js";
import {getJSON, keyGet, keySet, postJSON} from "./client.js";
import {button, el} from "./dom.js";
import {inspectView} from "./inspect.js";
import {loadView} from "./load.js";
import {themeButton} from "./theme.js";

const VIEWS = {chat: "Chat", inspect: "Inspect", load: "Load"};
const place = (name) => document.getElementById(`view-${name}`);
let leave = null;
let model; /* undefined: the server's only one */

async function inspect() {
  const at = place("inspect");
  if (at.dataset.model === String(model)) return;
  at.dataset.model = model;
  try {
    const data = await postJSON("/tare/plan", {model});
    inspectView(at, data, (name) => postJSON("/tare/module", {model, name}));
  } catch (error) {
    delete at.dataset.model;
    at.textContent = error.message;
  }
}

const CHOSEN = "tare.model";

/* The model's name; where there are several, a list to choose from. */
function chooseModel(ids) {
  const at = document.getElementById("model");
  const use = (id) => {
    model = id;
    useModel(id);
    localStorage.setItem(CHOSEN, id);
    show();
  };
  const before = localStorage.getItem(CHOSEN);
  const first = ids.includes(before) ? before : ids[0];
  at.classList.remove("asks");
  if (ids.length > 1) {
    const list = el("select", {"aria-label": "Model", onchange: () => use(list.value)}, ids.map((id) => el("option", {selected: id === first}, id)));
    at.replaceChildren(list);
  } else {
    at.textContent = ids[0];
  }
  use(first);
}

/* Asks for the server's key, which is forgotten with the tab, and goes on with it. */
function askKey(wrong) {
  const input = el("input", {type: "password", "aria-label": "API key", placeholder: "API key", autocomplete: "new-password", required: true});
  const form = el("form", {class: "key", onsubmit: (event) => {
    event.preventDefault();
    keySet(input.value);
    listModels();
  }}, wrong ? el("span", {class: "bad", role: "alert"}, "This key is not taken. ") : null, input, button("Use key", null, {type: "submit"}));
  const at = document.getElementById("model");
  at.classList.add("asks");
  at.replaceChildren(form);
  input.focus();
}

function show() {
  const wanted = location.hash.slice(1);
  const name = wanted in VIEWS ? wanted : "chat";
  for (const other of Object.keys(VIEWS)) place(other).hidden = other !== name;
  for (const link of document.querySelectorAll("#views a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.getElementById("title").textContent = VIEWS[name];
  document.title = `${VIEWS[name]} · tare`;
  if (leave) leave();
  leave = name === "load" ? loadView(place("load")) : null;
  if (name === "inspect") inspect();
}

async function listModels() {
  try {
    chooseModel((await getJSON("/v1/models")).data.map((one) => one.id));
  } catch (error) {
    if (error.status === 401) askKey(keyGet() !== "");
    else document.getElementById("model").textContent = error.message;
    show();
  }
}

function start() {
  themeButton(document.getElementById("theme"));
  chatView(place("chat"));
  addEventListener("hashchange", show);
  listModels();
}

start();
