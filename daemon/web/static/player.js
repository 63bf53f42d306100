// The player of a clip: its picture, and its sound as a spectrogram with a playhead.

import { html, useEffect, useRef, useState } from "../vendor/standalone.module.js";
import { address } from "./api.js";
import { labelName } from "./follow.js";
import { seconds, t } from "./language.js";

const STEP_S = 0.1;
const AGAIN_MS = 2_000;

export function Player({ event }) {
  const video = useRef(null);
  const [at, setAt] = useState(0);
  const [isLoaded, setLoaded] = useState(false);
  const file = (name) => address("events", event.id, name);
  const length = event.clip.duration_s || 1;
  useFrames(video, setAt);
  const film = useMade(file("play.mp4"));
  return html`<div class="card player">
    <video ref=${video} class=${event.clip.video ? "" : "sound-only"} controls playsinline preload="metadata" src=${film.path}
      poster=${event.snapshot ? file("snapshot.jpg") : undefined} aria-label=${t("clip_of", { label: labelName(event.label) })}
      onLoadedMetadata=${() => setLoaded(true)} onError=${() => film.fail(t("clip_fails"))}></video>
    ${(!isLoaded || film.reason) && html`<p class="muted" role="status">${film.reason || t(film.path ? "clip_loads" : "clip_waits")}</p>`}
    ${event.clip.audio && html`<${Spectrogram} event=${event} at=${at} length=${length} />`}
    <label class="field"><span class="hidden">${t("position")}</span>
      <input type="range" min="0" max=${length} step=${STEP_S} value=${at} aria-valuetext=${seconds(at)}
        onInput=${(change) => (video.current.currentTime = Number(change.target.value))} />
    </label>
    ${event.clip.is_cut && html`<p class="muted">${t("clip_cut")}</p>`}
  </div>`;
}

// Calls `tell` with the position: with each picture while it plays, and after each jump.
function useFrames(video, tell) {
  useEffect(() => {
    const element = video.current;
    let request = 0;
    const step = () => {
      tell(element.currentTime);
      if (!element.paused && !element.ended) request = requestAnimationFrame(step);
    };
    const moved = () => {
      cancelAnimationFrame(request);
      step();
    };
    for (const name of ["play", "seeked", "pause", "ended"]) element.addEventListener(name, moved);
    return () => {
      cancelAnimationFrame(request);
      for (const name of ["play", "seeked", "pause", "ended"]) element.removeEventListener(name, moved);
    };
  }, []);
}

function Spectrogram({ event, at, length }) {
  const picture = useMade(address("events", event.id, "spectrogram.png"));
  const begins = Date.parse(event.clip.begins) / 1000;
  const part = (time) => Math.min(1, Math.max(0, (Date.parse(time) / 1000 - begins) / length));
  const from = part(event.started);
  const to = event.ended === null ? 1 : part(event.ended);
  const text = t("spectrogram_of", { from: seconds(from * length), to: seconds(to * length) });
  return picture.path && html`<figure class="spectrogram">
    <img src=${picture.path} alt=${text} />
    <span class="span" style=${{ left: `${100 * from}%`, width: `${100 * (to - from)}%` }}></span>
    <span class="playhead" style=${{ left: `${(100 * Math.min(at, length)) / length}%` }}></span>
  </figure>`;
}

// Returns {path, reason, fail} of something that the server makes when it is asked for. `path` is there once it is
// made, and `reason` says why it cannot be made.
function useMade(path) {
  const [state, set] = useState({ path: undefined, reason: "" });
  useEffect(() => {
    let isGone = false;
    ask(path, () => isGone).then((found) => isGone || set(found));
    return () => {
      isGone = true;
    };
  }, [path]);
  return { ...state, fail: (reason) => set({ path: state.path, reason }) };
}

// Asks until the server has made it; while it has not, it answers 202.
async function ask(path, isGone) {
  while (!isGone()) {
    try {
      const response = await fetch(path, { headers: { Range: "bytes=0-0" } });
      if (response.ok && response.status !== 202) return { path, reason: "" };
      if (!response.ok && response.status !== 503) return { path: undefined, reason: String((await response.json()).reason || t("clip_fails")) };
    } catch {
      // the page says that its server is away
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
  return { path: undefined, reason: "" };
}
