/*
 * Markdown as models write it, made into elements: headings, lists, quotes, tables, fenced code, emphasis, code, links.
 * HTML in the text stays text. A link is made only for http, https and mailto, and pictures are never fetched.
 */
import {button, copy, el} from "./dom.js";

const INLINE = /(`+)([^`](?:.*?[^`])?)\1(?!`)|\*\*(?=\S)(.+?\S)\*\*|(?<![\w*])\*(?=[^\s*])(.+?[^\s*]|[^\s*])\*(?!\*)|(?<!\w)_(?=[^\s_])(.+?[^\s_]|[^\s_])_(?!\w)|~~(?=\S)(.+?\S)~~|!?\[([^\]\n]*)\]\(([^()\s]+)\)|(https?:\/\/[^\s<>()"']+[^\s<>()"'.,;:!?])/s;

function link(text, target) {
  let url;
  try {
    url = new URL(target);
  } catch {
    return text;
  }
  if (!["http:", "https:", "mailto:"].includes(url.protocol)) return text;
  return el("a", {href: url.href, rel: "noopener noreferrer nofollow", target: "_blank"}, text);
}

/* The nodes of one run of text. The depth is bounded, since a model may nest marks without end. */
function inline(text, depth = 0) {
  const nodes = [];
  while (text) {
    const found = depth < 6 ? INLINE.exec(text) : null;
    if (!found) {
      nodes.push(text);
      break;
    }
    if (found.index) nodes.push(text.slice(0, found.index));
    text = text.slice(found.index + found[0].length);
    const [, ticks, code, strong, star, under, gone, name, target, bare] = found;
    if (ticks) nodes.push(el("code", null, code));
    else if (strong) nodes.push(el("strong", null, inline(strong, depth + 1)));
    else if (star || under) nodes.push(el("em", null, inline(star || under, depth + 1)));
    else if (gone) nodes.push(el("del", null, inline(gone, depth + 1)));
    else if (target) nodes.push(link(name || target, target));
    else if (bare) nodes.push(link(bare, bare));
  }
  return nodes;
}

/* Lines of a paragraph: a single line end is kept, as chats expect. */
function lines(list) {
  return list.flatMap((line, at) => (at ? [el("br"), ...inline(line)] : inline(line)));
}

function codeBlock(language, text) {
  const done = button("Copy", () => copy(text), {class: "small", "aria-label": "Copy code"});
  return el("figure", {class: "code"}, el("figcaption", null, el("span", null, language || "code"), done),
    el("pre", {tabindex: "0"}, el("code", null, text)));
}

function cells(line) {
  return line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
}

function table(head, body) {
  return el("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": "Table"}, el("table", null,
    el("thead", null, el("tr", null, cells(head).map((cell) => el("th", {scope: "col"}, inline(cell))))),
    el("tbody", null, body.map((row) => el("tr", null, cells(row).map((cell) => el("td", null, inline(cell))))))));
}

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^`\s]*)[^`]*$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const DIVIDER = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

/* Reads a list from line `at` on; returns it and the line after it. */
function list(text, at, depth) {
  const [, indent, mark] = ITEM.exec(text[at]);
  const ordered = /\d/.test(mark);
  const node = el(ordered ? "ol" : "ul", ordered && parseInt(mark, 10) !== 1 ? {start: parseInt(mark, 10)} : null);
  while (at < text.length) {
    const found = ITEM.exec(text[at]);
    if (!found || found[1].length < indent.length || /\d/.test(found[2]) !== ordered) break;
    const inner = [found[3]];
    at++;
    while (at < text.length) {
      const next = ITEM.exec(text[at]);
      if (next ? next[1].length <= indent.length : !/^\s{2,}\S/.test(text[at])) break;
      inner.push(text[at++].replace(/^\s{1,4}/, ""));
    }
    node.append(el("li", null, blocks(inner, depth + 1)));
    if (text[at] === "" && ITEM.test(text[at + 1] || "")) at++;
  }
  return [node, at];
}

function startsBlock(line) {
  return FENCE.test(line) || ITEM.test(line) || RULE.test(line) || /^(#{1,6}\s|>)/.test(line);
}

function blocks(text, depth) {
  const nodes = [];
  let at = 0;
  if (depth > 8) return [text.join("\n")];
  while (at < text.length) {
    const line = text[at];
    const fence = FENCE.exec(line);
    const heading = /^(#{1,6})\s+(.*?)\s*#*$/.exec(line);
    if (!line.trim()) {
      at++;
    } else if (fence) {
      const start = ++at;
      while (at < text.length && !(text[at].trim().startsWith(fence[1]) && /^[`~\s]+$/.test(text[at]))) at++;
      nodes.push(codeBlock(fence[2], text.slice(start, at).join("\n")));
      at++;
    } else if (heading) {
      nodes.push(el(`h${Math.min(heading[1].length + 2, 6)}`, null, inline(heading[2])));
      at++;
    } else if (RULE.test(line)) {
      nodes.push(el("hr"));
      at++;
    } else if (line.startsWith(">")) {
      const quoted = [];
      while (at < text.length && text[at].startsWith(">")) quoted.push(text[at++].replace(/^> ?/, ""));
      nodes.push(el("blockquote", null, blocks(quoted, depth + 1)));
    } else if (ITEM.test(line)) {
      const [node, next] = list(text, at, depth);
      nodes.push(node);
      at = next;
    } else if (line.includes("|") && DIVIDER.test(text[at + 1] || "") && text[at + 1].includes("-")) {
      const start = at;
      at += 2;
      while (at < text.length && text[at].includes("|")) at++;
      nodes.push(table(line, text.slice(start + 2, at)));
    } else {
      const start = at++;
      while (at < text.length && text[at].trim() && !startsBlock(text[at])) at++;
      nodes.push(el("p", null, lines(text.slice(start, at))));
    }
  }
  return nodes;
}

/* The elements of a text. */
export function markdown(text) {
  return blocks(text.replace(/\r\n?/g, "\n").split("\n"), 0);
}
