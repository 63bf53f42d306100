// What the daemon tells while somebody looks: one stream of messages, opened again when it ends.

import { get } from "./api.js";
import { Box } from "./box.js";
import { Minute } from "./minute.js";
import { session } from "./session.js";

// the daemon says something at least every ten seconds
const SILENCE_MS = 25_000;
const RETRY_MS = 2_000;

// `state` is "connecting", "live", "daemon_down" (the page's server answers, the daemon does not), "page_down" or
// "refused" (others look already); `reason` says more, in the words of the server
export const link = new Box({ state: "connecting", reason: "" });
export const node = new Box(null); // what `describe` tells
export const topics = new Box({}); // the latest payloads, by topic
export const kept = new Box(null); // the latest kept event that changed

const minutes = new Map();
let source = null;
let timer = 0;
let isWanted = false;

// Returns the latest minute of scores of a stream.
export function minuteOf(stream) {
  if (!minutes.has(stream)) minutes.set(stream, new Minute());
  return minutes.get(stream);
}

// Follows while somebody is logged in and the page is visible.
export function start() {
  document.addEventListener("visibilitychange", decide);
  session.watch(decide);
  decide();
}

function decide() {
  const wanted = session.value?.role != null && !document.hidden;
  if (wanted === isWanted) return;
  isWanted = wanted;
  if (wanted) open();
  else close();
}

function close() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

function open() {
  close();
  source = new EventSource("api/follow");
  source.onmessage = (event) => {
    heard();
    take(JSON.parse(event.data));
  };
  source.addEventListener("down", (event) => {
    heard();
    tell("daemon_down", JSON.parse(event.data).reason);
  });
  source.onerror = again;
  heard();
  refresh();
}

function tell(state, reason = "") {
  if (link.value.state !== state || link.value.reason !== reason) link.set({ state, reason });
}

function tellError({ status, message }) {
  if (status === 503) tell("daemon_down", message);
  else if (status === 0 || status >= 500) tell("page_down");
}

// Waits for the next message; without one the connection is dead, whatever the browser believes.
function heard() {
  clearTimeout(timer);
  timer = setTimeout(again, SILENCE_MS);
}

// Opens the stream again. A request before tells what an EventSource does not: why it ended.
async function again() {
  close();
  if (!isWanted) return;
  try {
    await get("api/session");
    const reason = await refusal();
    if (reason !== null) tell("refused", reason);
  } catch (error) {
    tellError(error);
  }
  if (isWanted) timer = setTimeout(open, RETRY_MS);
}

// Returns why the server does not tell this browser anything, or null if it does.
async function refusal() {
  const abort = new AbortController();
  const wait = setTimeout(() => abort.abort(), SILENCE_MS);
  try {
    const response = await fetch("api/follow", { signal: abort.signal });
    return response.ok ? null : String((await response.json()).reason ?? "");
  } catch {
    return null;
  } finally {
    clearTimeout(wait);
    abort.abort();
  }
}

// Reads what does not come by itself: the description of the node, and all topics as they are.
export async function refresh() {
  try {
    const [described, told] = await Promise.all([get("api/describe"), get("api/topics")]);
    node.set(described);
    topics.set(told.topics ?? {});
    if (link.value.state !== "refused") tell("live");
  } catch (error) {
    tellError(error);
  }
}

function take(message) {
  if (link.value.state !== "live") {
    if (node.value === null || link.value.state === "daemon_down") refresh();
    tell("live");
  }
  if (message.kind === "scores") takeScores(message);
  else if (message.kind === "kept") kept.set(message.event);
  else if (message.kind === "topic") {
    const before = topics.value[message.topic];
    topics.set({ ...topics.value, [message.topic]: message.payload });
    // another bundle has other labels
    if (message.topic === "status" && before?.bundle !== message.payload.bundle) refresh();
  }
}

// Takes scores, but for those of the background: it says only that nothing else is there.
function takeScores(message) {
  if (node.value === null) return; // then nobody knows what the background is
  const background = node.value.background ?? [];
  minuteOf(message.stream).add({ ...message, labels: message.labels.filter(({ label }) => !background.includes(label)) });
}

// Returns the name of a label in the language of the node, or the label itself.
export function labelName(label) {
  return node.value?.label_names?.[label] ?? label;
}

// Returns the name of a stream for people.
export function streamName(stream) {
  return node.value?.streams?.[stream]?.name || stream;
}
