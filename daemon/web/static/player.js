// The player of a clip: its picture, and its sound as a spectrogram with a playhead.

import { html, useEffect, useRef, useState } from "../vendor/standalone.module.js";
import { address } from "./api.js";
import { labelName } from "./follow.js";
import { seconds, t } from "./language.js";

const STEP_S = 0.1;

export function Player({ event }) {
  const video = useRef(null);
  const [at, setAt] = useState(0);
  const [state, setState] = useState({ isReady: false, reason: "" });
  const file = (name) => address("events", event.id, name);
  const length = event.clip.duration_s || 1;
  useFrames(video, setAt);
  const failed = async () => setState({ isReady: false, reason: (await reason(file("play.mp4"))) || t("clip_fails") });
  return html`<div class="card player">
    <video ref=${video} class=${event.clip.video ? "" : "sound-only"} controls playsinline preload="metadata" src=${file("play.mp4")}
      poster=${event.snapshot ? file("snapshot.jpg") : undefined} aria-label=${t("clip_of", { label: labelName(event.label) })}
      onLoadedData=${() => setState({ isReady: true, reason: "" })} onError=${failed}></video>
    ${!state.isReady && html`<p class="muted" role="status">${state.reason || t("clip_prepared")}</p>`}
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
  const [isThere, set] = useState(true);
  const begins = Date.parse(event.clip.begins) / 1000;
  const part = (time) => Math.min(1, Math.max(0, (Date.parse(time) / 1000 - begins) / length));
  const from = part(event.started);
  const to = event.ended === null ? 1 : part(event.ended);
  const text = t("spectrogram_of", { from: seconds(from * length), to: seconds(to * length) });
  return isThere && html`<figure class="spectrogram">
    <img src=${address("events", event.id, "spectrogram.png")} alt=${text} onError=${() => set(false)} />
    <span class="span" style=${{ left: `${100 * from}%`, width: `${100 * (to - from)}%` }}></span>
    <span class="playhead" style=${{ left: `${(100 * Math.min(at, length)) / length}%` }}></span>
  </figure>`;
}

// Returns why a clip cannot be played, in the words of the server.
async function reason(path) {
  try {
    const response = await fetch(path, { headers: { Range: "bytes=0-0" } });
    return response.ok ? "" : String((await response.json()).reason ?? "");
  } catch {
    return "";
  }
}
