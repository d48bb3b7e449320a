/*
 * Conversations, kept in this browser alone. One is a tree: an edited question or another answer is a sibling of the first
 * one, and `leaf` says which branch is shown.
 */

const ALL = "tare.conversations";
const LAST = "tare.settings";

export const DEFAULTS = {
  system: "",
  temperature: 0.8,
  top_p: 1,
  top_k: 0,
  min_p: 0,
  repetition_penalty: 1,
  max_tokens: 512,
  seed: null,
  stop: "",
  schema: "",
  probabilities: false,
};

let all = read(ALL, []);

function read(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(key)) || otherwise;
  } catch {
    return otherwise;
  }
}

/* Returns false where the browser has no room left. */
export function save() {
  try {
    localStorage.setItem(ALL, JSON.stringify(all));
    return true;
  } catch {
    return false;
  }
}

export function list() {
  return all;
}

function newId() {
  return `${Date.now().toString(36)}${Math.floor(Math.random() * 1e9).toString(36)}`;
}

export function create() {
  const settings = {...DEFAULTS, ...read(LAST, {})};
  const made = {id: newId(), title: "New chat", settings, nodes: {}, leaf: null};
  all.unshift(made);
  return made;
}

export function remove(conversation) {
  all = all.filter((other) => other !== conversation);
  save();
}

/* Settings that the next conversation begins with. */
export function keepSettings(settings) {
  localStorage.setItem(LAST, JSON.stringify(settings));
}

export function addNode(conversation, parent, role, content) {
  const node = {id: newId(), parent, role, content};
  conversation.nodes[node.id] = node;
  conversation.leaf = node.id;
  if (role === "user" && !parent) conversation.title = content.slice(0, 48) || "New chat";
  return node;
}

/* From the first message to the leaf. */
export function pathOf(conversation) {
  const path = [];
  for (let node = conversation.nodes[conversation.leaf]; node; node = conversation.nodes[node.parent]) path.unshift(node);
  return path;
}

/* The branches at a node: those with the same parent and role, in the order in which they were made. */
export function branches(conversation, node) {
  return Object.values(conversation.nodes).filter((other) => other.parent === node.parent && other.role === node.role);
}

/* Shows the branch of a node, down to its latest leaf. */
export function show(conversation, node) {
  let found = node;
  for (;;) {
    const children = Object.values(conversation.nodes).filter((other) => other.parent === found.id);
    if (!children.length) break;
    found = children[children.length - 1];
  }
  conversation.leaf = found.id;
}
