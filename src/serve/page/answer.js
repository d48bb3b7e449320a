/* Asks the server for one answer and fills a node of the conversation with it. */
import {chatStream} from "./client.js";
import {requestFields} from "./settings.js";
import {pathOf} from "./store.js";
import {tokensOf} from "./tokens.js";

function messagesOf(conversation, node) {
  const messages = conversation.settings.system.trim() ? [{role: "system", content: conversation.settings.system}] : [];
  for (const one of pathOf(conversation)) {
    if (one === node) break;
    messages.push({role: one.role, content: one.content});
  }
  return messages;
}

function take(node, chunk) {
  const choice = chunk.choices[0];
  if (chunk.usage) node.usage = chunk.usage;
  if (!choice) return;
  node.content += choice.delta.content || "";
  if (choice.delta.reasoning_content) node.reasoning = (node.reasoning || "") + choice.delta.reasoning_content;
  if (choice.logprobs && choice.logprobs.content) node.tokens = (node.tokens || []).concat(tokensOf(choice.logprobs.content));
  if (choice.finish_reason) node.finish = choice.finish_reason;
}

/* Fills node; calls changed() after each piece. Never throws: node.error has the sentence, node.finish how it ended. */
export async function answer(conversation, node, model, signal, changed) {
  const began = performance.now();
  let first = 0;
  let pieces = 0;
  try {
    const request = {model, messages: messagesOf(conversation, node), ...requestFields(conversation.settings)};
    await chatStream(request, signal, (chunk) => {
      take(node, chunk);
      if (chunk.choices.length && !first && (node.content || node.reasoning)) first = performance.now();
      pieces++;
      changed();
    });
  } catch (error) {
    if (error.name === "AbortError") node.finish = "stopped";
    else node.error = error.message;
  }
  const now = performance.now();
  const count = node.usage ? node.usage.completion_tokens : pieces;
  node.stats = {tokens: count, first: first ? (first - began) / 1000 : null, rate: first && count > 1 && now > first ? ((count - 1) * 1000) / (now - first) : null};
}
