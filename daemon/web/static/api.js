// Requests to the server of this page. Every address is relative, so that the page works below any prefix.

import { session } from "./session.js";

const TIMEOUT_MS = 20_000;
// the daemon answers a command within a minute, and a doctor run within two
const LONG_MS = 130_000;

// An answer that is no success: its status, the reason in words, and the whole answer.
export class Refused extends Error {
  constructor(status, reason, answer = {}) {
    super(reason);
    this.status = status;
    this.answer = answer;
  }
}

// Returns the address of something in the API. Each part is encoded.
export function address(...parts) {
  return "api/" + parts.map(encodeURIComponent).join("/");
}

// Returns an address with those arguments that have a value.
export function withQuery(path, query) {
  const pairs = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return pairs.length === 0 ? path : `${path}?${new URLSearchParams(pairs)}`;
}

export function get(path) {
  return ask(path, { method: "GET" }, TIMEOUT_MS);
}

export function post(path, body = {}) {
  const headers = { "Content-Type": "application/json" };
  return ask(path, { method: "POST", headers, body: JSON.stringify(body) }, LONG_MS);
}

// Sends a command, as over MQTT. Returns its answer; raises Refused when the daemon refuses it.
export async function command(name, values = {}) {
  const answer = await post(address("command", name), values);
  if (!answer.ok) throw new Refused(409, answer.reason ?? "", answer);
  return answer;
}

async function ask(path, options, timeoutMs) {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), timeoutMs);
  try {
    const response = await fetch(path, { ...options, signal: abort.signal, credentials: "same-origin" });
    const answer = response.status === 204 ? {} : await json(response);
    if (response.ok) return answer;
    if (response.status === 401 && path !== address("login")) session.set({ role: null, login: answer.login });
    throw new Refused(response.status, String(answer.reason ?? response.statusText), answer);
  } catch (error) {
    if (error instanceof Refused) throw error;
    throw new Refused(0, "");
  } finally {
    clearTimeout(timer);
  }
}

async function json(response) {
  try {
    return (await response.json()) ?? {};
  } catch {
    return {};
  }
}
