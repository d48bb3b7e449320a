/* Starts the page: views by the fragment of the address, dark and light, the model's name. */
import {chatView} from "./chat.js";
import {getJSON, postJSON} from "./client.js";
import {inspectView} from "./inspect.js";
import {loadView} from "./load.js";
import {themeButton} from "./theme.js";

const VIEWS = {chat: "Chat", inspect: "Inspect", load: "Load"};
const place = (name) => document.getElementById(`view-${name}`);
let leave = null;

async function inspect() {
  const at = place("inspect");
  if (at.firstChild) return;
  try {
    const data = await postJSON("/tare/plan", {});
    inspectView(at, data, (name) => postJSON("/tare/module", {name}));
  } catch (error) {
    at.textContent = error.message;
  }
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
  let id = null;
  try {
    id = (await getJSON("/v1/models")).data[0].id;
    document.getElementById("model").textContent = id;
  } catch (error) {
    document.getElementById("model").textContent = error.message;
  }
  chatView(place("chat"), id || undefined);
  addEventListener("hashchange", show);
  show();
}

start();
