// The live picture of a stream: one request for each picture, and the next one only when the last is shown.

import { html, useEffect, useRef, useState } from "../vendor/standalone.module.js";
import { address, withQuery } from "./api.js";
import { streamName } from "./follow.js";
import { clock, t } from "./language.js";

const WIDTH = 640;
const TIMEOUT_MS = 15_000;
const AGAIN_MS = 2_000;
// A browser opens six connections to one server. Pictures wait for each other, so that commands need not.
const MAX_WAITING = 3;

let waiting = 0;
const turns = [];

async function turn() {
  if (waiting < MAX_WAITING) waiting += 1;
  else await new Promise((resolve) => turns.push(resolve));
}

function endTurn() {
  const next = turns.shift();
  if (next) next();
  else waiting -= 1;
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

// Shows the picture and draws `children` over it. `region`, `rotate` and `masks` are those of `describe`.
export function LivePicture({ stream, facts, children }) {
  const image = useRef(null);
  const frame = useRef(null);
  const [shown, set] = useState({ time: null, reason: "" });
  useEffect(() => {
    const loop = new Loop(stream, image.current, frame.current, set);
    loop.run();
    return () => loop.stop();
  }, [stream]);
  const name = streamName(stream);
  return html`<figure class=${shown.time ? "live" : "live waiting"} ref=${frame}>
    <img ref=${image} alt=${t("picture_of", { stream: name })} draggable=${false} />
    ${shown.time && html`<${Masks} facts=${facts} />`} ${children}
    ${shown.time && html`<figcaption>${clock(shown.time)}</figcaption>`}
    ${!shown.time && html`<p class="over">${shown.reason || t("picture_waits")}</p>`}
    ${shown.time && shown.reason && html`<p class="over low">${shown.reason}</p>`}
  </figure>`;
}

// Marks what is blacked out, so that nobody takes it for a broken picture. Masks are given before the region is cut.
function Masks({ facts }) {
  const masks = facts?.masks ?? [];
  if (masks.length === 0 || facts.rotate) return null;
  const { left = 0, top = 0, right = 1, bottom = 1 } = facts.region ?? {};
  const points = (mask) => mask.map(([x, y]) => `${(100 * (x - left)) / (right - left)},${(100 * (y - top)) / (bottom - top)}`);
  return html`<svg class="masks" viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label=${t("masked", { n: masks.length })}>
    ${masks.map((mask, index) => html`<polygon points=${points(mask).join(" ")} key=${index} />`)}
  </svg>`;
}

class Loop {
  constructor(stream, image, frame, tell) {
    this.address = address("picture", stream);
    this.image = image;
    this.tell = tell;
    this.after = 0;
    this.isStopped = false;
    this.abort = null;
    this.url = null;
    this.isSeen = true;
    this.observer = new IntersectionObserver(([entry]) => (this.isSeen = entry.isIntersecting));
    this.observer.observe(frame);
  }

  stop() {
    this.isStopped = true;
    this.abort?.abort();
    this.observer.disconnect();
    if (this.url) URL.revokeObjectURL(this.url);
  }

  async run() {
    while (!this.isStopped) {
      if (document.hidden || !this.isSeen) {
        await pause(300); // nobody looks: no request
        continue;
      }
      await turn();
      let wait = 0;
      try {
        if (!this.isStopped) wait = await this.one();
      } catch {
        wait = AGAIN_MS; // the page says that its server is away
      } finally {
        endTurn();
      }
      if (wait) await pause(wait);
    }
  }

  // Gets and shows one picture. Returns how long to wait before the next.
  async one() {
    this.abort = new AbortController();
    const timer = setTimeout(() => this.abort.abort(), TIMEOUT_MS);
    try {
      const response = await fetch(withQuery(this.address, { after: this.after, width: WIDTH }), { signal: this.abort.signal });
      if (response.status === 204) return 50;
      if (!response.ok) {
        const answer = await response.json().catch(() => ({}));
        if (!this.isStopped) this.tell((shown) => ({ ...shown, reason: String(answer.reason ?? "") }));
        return AGAIN_MS;
      }
      const blob = await response.blob();
      await this.show(blob);
      if (this.isStopped) return 0;
      this.after = Number(response.headers.get("X-Sequence") ?? 0);
      this.tell({ time: response.headers.get("X-Time"), reason: "" });
      return 0;
    } finally {
      clearTimeout(timer);
    }
  }

  async show(blob) {
    if (this.isStopped) return;
    const before = this.url;
    this.url = URL.createObjectURL(blob);
    this.image.src = this.url;
    await this.image.decode();
    if (before) URL.revokeObjectURL(before);
  }
}
