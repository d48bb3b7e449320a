/* An answer token by token: the surer the model was, the fainter the background; the others that it weighed on hover. */
import {el} from "./dom.js";

const percent = (logprob) => `${(100 * Math.exp(logprob)).toFixed(logprob > -4.6 ? 1 : 3)} %`;

/* What a stream's logprobs say, in short form for the browser's storage. */
export function tokensOf(content) {
  return content.map((one) => [one.token, one.logprob, one.top_logprobs.map((other) => [other.token, other.logprob])]);
}

function visible(token) {
  return token.replace(/\n/g, "⏎").replace(/\t/g, "⇥") || "∅";
}

/* A tip that names the alternatives. One for the page. */
const tip = el("div", {class: "tip", role: "tooltip", id: "token-tip", hidden: true});

function showTip(at, [token, logprob, top]) {
  tip.replaceChildren(el("strong", null, `“${visible(token)}” ${percent(logprob)}`),
    el("ol", null, top.map(([other, its]) => el("li", null, el("meter", {min: 0, max: 1, value: Math.exp(its), "aria-hidden": "true"}), ` “${visible(other)}” ${percent(its)}`))));
  if (!tip.isConnected) document.body.append(tip);
  tip.hidden = false;
  const place = at.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(place.left, innerWidth - tip.offsetWidth - 4))}px`;
  tip.style.top = `${place.bottom + tip.offsetHeight + 4 < innerHeight ? place.bottom + 4 : place.top - tip.offsetHeight - 4}px`;
}

export function hideTip() {
  tip.hidden = true;
}

function one(entry, first) {
  const grade = Math.min(5, Math.floor(-entry[1] / 0.7));
  const node = el("span", {class: `token grade${Math.max(0, grade)}`, tabindex: first ? "0" : "-1", role: "button",
    "aria-label": `${visible(entry[0])}, ${percent(entry[1])}`, "aria-describedby": "token-tip",
    onmouseenter: () => showTip(node, entry), onmouseleave: hideTip, onfocus: () => showTip(node, entry), onblur: hideTip}, entry[0]);
  return node;
}

/* Arrow keys walk from token to token, so that Tab needs one step for the whole answer. */
function walk(event) {
  const to = {ArrowRight: "nextElementSibling", ArrowLeft: "previousElementSibling"}[event.key];
  const next = to && event.target[to];
  if (!next) return;
  event.preventDefault();
  event.target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

export function tokenView(tokens) {
  return el("div", {class: "tokens", role: "group", "aria-label": "Tokens with their probabilities; arrow keys move", onkeydown: walk},
    tokens.map((entry, at) => one(entry, at === 0)));
}
