/* Starts the page: views by the fragment of the address, dark and light, the model's name. */
import {chatView, useModel} from "./chat.js";
import {getJSON, postJSON} from "./client.js";
import {el} from "./dom.js";
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

/* The model's name; where there are several, a list to choose from. */
function chooseModel(ids) {
  const at = document.getElementById("model");
  const use = (id) => {
    model = id;
    useModel(id);
    show();
  };
  if (ids.length > 1) {
    const list = el("select", {"aria-label": "Model", onchange: () => use(list.value)}, ids.map((id) => el("option", null, id)));
    at.replaceChildren(list);
  } else {
    at.textContent = ids[0];
  }
  use(ids[0]);
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

async function start() {
  themeButton(document.getElementById("theme"));
  chatView(place("chat"));
  addEventListener("hashchange", show);
  try {
    chooseModel((await getJSON("/v1/models")).data.map((one) => one.id));
  } catch (error) {
    document.getElementById("model").textContent = error.message;
    show();
  }
}

start();
