/* Speaks with the server that this page came from. */

const KEY = "tare.key";

export function keyGet() {
  return sessionStorage.getItem(KEY) || "";
}

/* The key lives as long as the tab; it is never written beside the conversations. */
export function keySet(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

function headers(more) {
  const key = keyGet();
  return key ? {...more, authorization: `Bearer ${key}`} : more;
}

async function refusal(response) {
  let text = `${response.status} ${response.statusText}`;
  try {
    const body = await response.json();
    if (body.error && body.error.message) text = body.error.message;
  } catch {
    /* Not JSON: the status line says it. */
  }
  if (response.status === 401) text += " Enter the key under Settings.";
  return Object.assign(new Error(text), {status: response.status});
}

export async function getJSON(path) {
  const response = await fetch(path, {headers: headers({})});
  if (!response.ok) throw await refusal(response);
  return response.json();
}

export async function postJSON(path, body) {
  const response = await fetch(path, {method: "POST", headers: headers({"content-type": "application/json"}), body: JSON.stringify(body)});
  if (!response.ok) throw await refusal(response);
  return response.json();
}

export async function getText(path) {
  const response = await fetch(path, {headers: headers({})});
  if (!response.ok) throw await refusal(response);
  return response.text();
}

/* Cuts a stream of server-sent events into the text of each one's data. Lines may end within a piece, characters too. */
export function eventReader() {
  let rest = "";
  return (piece) => {
    rest += piece;
    const events = [];
    let end;
    while ((end = rest.indexOf("\n\n")) >= 0) {
      const data = rest.slice(0, end).split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).replace(/^ /, ""));
      rest = rest.slice(end + 2);
      if (data.length) events.push(data.join("\n"));
    }
    return events;
  };
}

/*
 * Asks for a chat and calls on(chunk) for each chunk of the answer. An error of the server, before or within the stream,
 * is thrown, and so is an end without [DONE]. `signal` stops it: closing the connection frees the server's slot.
 */
export async function chatStream(request, signal, on) {
  const response = await fetch("/v1/chat/completions", {
    method: "POST",
    headers: headers({"content-type": "application/json"}),
    body: JSON.stringify({...request, stream: true, stream_options: {include_usage: true}}),
    signal,
  });
  if (!response.ok) throw await refusal(response);
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const read = eventReader();
  for (;;) {
    const {done, value} = await reader.read();
    if (done) throw new Error("The server ended the answer early.");
    for (const data of read(decoder.decode(value, {stream: true}))) {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Error(chunk.error.message);
      on(chunk);
    }
  }
}
