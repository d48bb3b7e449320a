/* All tensors of the checkpoint and what became of each: searchable, and sorted by a click on a column's title. */
import {button, bytesText, el} from "./dom.js";

const SHOWN = 300;

function rowsOf(data) {
  const uses = new Map();
  for (const one of data.plan.parameters) for (const source of one.sources) uses.set(source, (uses.get(source) || []).concat(one));
  return data.sources.map((one) => {
    const users = uses.get(one.name) || [];
    return {...one, shapeText: one.shape.join(" × "), users,
      way: one.rule || (users.length ? users.map((user) => `${user.recipe ? `${user.recipe} → ` : ""}${user.name}`).join(", ") : one.fate)};
  });
}

export function tensorTable(data, choose) {
  const rows = rowsOf(data);
  const columns = [["Tensor", "name"], ["Type", "dtype"], ["Shape", "shapeText"], ["Bytes", "bytes"], ["Fate", "fate"], ["Its way", "way"]];
  const body = el("tbody");
  const count = el("p", {class: "faint", role: "status"});
  const search = el("input", {type: "search", placeholder: "part of a name, a type, a fate; several words: all of them", oninput: () => draw()});
  let order = null;
  let down = false;
  const draw = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = rows.filter((row) => words.every((word) => `${row.name} ${row.dtype} ${row.shapeText} ${row.fate} ${row.way}`.toLowerCase().includes(word)));
    if (order) found.sort((a, b) => (down ? -1 : 1) * (typeof a[order] === "number" ? a[order] - b[order] : a[order].localeCompare(b[order], "en", {numeric: true})));
    body.replaceChildren(...found.slice(0, SHOWN).map((row) => el("tr", null,
      el("td", null, row.users.length ? button(row.name, () => choose(row.users[0].name)) : row.name),
      el("td", null, row.dtype), el("td", null, row.shapeText), el("td", {class: "right"}, bytesText(row.bytes)),
      el("td", null, row.fate), el("td", null, row.way))));
    count.textContent = `${found.length} of ${rows.length} tensors${found.length > SHOWN ? `, the first ${SHOWN} shown` : ""}`;
  };
  const titles = columns.map(([title, key]) => {
    const at = el("th", {scope: "col"}, button(title, () => {
      down = order === key ? !down : key === "bytes";
      order = key;
      for (const other of titles) other.removeAttribute("aria-sort");
      at.setAttribute("aria-sort", down ? "descending" : "ascending");
      draw();
    }, {class: "small"}));
    return at;
  });
  draw();
  return el("section", {"aria-label": "Tensors"}, el("h2", null, "Tensors"), el("label", null, "Search ", search), count,
    el("div", {class: "tensors", tabindex: "0", role: "region", "aria-label": "Tensors and their ways"}, el("table", null, el("thead", null, el("tr", null, titles)), body)));
}
