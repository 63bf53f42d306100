// Shows the node an example: a button to hold while it happens, and one for what has just happened.

import { html, useEffect, useRef, useState } from "../vendor/standalone.module.js";
import { command } from "./api.js";
import { seconds, t } from "./language.js";
import { Said, useAction } from "./parts.js";

const SHORTEST_S = 1;
const LONGEST_S = 5;
// a shorter touch is a mistake, not an example
const TOUCH_S = 0.3;

// Returns the arguments of `teach` for what ended just now and lasted so long.
// The daemon's example ends one second after the command, so `ago_s` is 1.
export function heldExample(heldS) {
  return { seconds: Math.round(10 * Math.min(LONGEST_S, Math.max(SHORTEST_S, heldS))) / 10, ago_s: 1 };
}

export function Press({ label, stream }) {
  const [said, run, isBusy] = useAction();
  const [began, setBegan] = useState(null);
  const start = useRef(null);
  const timer = useRef(0);

  const teach = (times) => run(async () => {
    const { result, reason } = await command("teach", { label, stream, ...times });
    const senses = (result?.senses ?? []).map((sense) => t(sense)).join(", ");
    return reason || t("example_stored", { label: result?.label ?? label, n: result?.moments ?? "", senses });
  });
  const cancel = () => {
    clearTimeout(timer.current);
    start.current = null;
    setBegan(null);
  };
  const release = () => {
    if (start.current === null) return;
    const heldS = (performance.now() - start.current) / 1000;
    cancel();
    if (heldS < TOUCH_S) run(async () => t("hold_longer"));
    else teach(heldExample(heldS));
  };
  const press = () => {
    if (start.current !== null || isBusy || !label) return;
    start.current = performance.now();
    setBegan(start.current);
    timer.current = setTimeout(release, LONGEST_S * 1000);
  };
  useEffect(() => () => clearTimeout(timer.current), []);

  const down = (event) => {
    if (event.button !== 0) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    press();
  };
  const keyDown = (event) => {
    if (event.key === "Escape") cancel();
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    if (!event.repeat) press();
  };
  const keyUp = (event) => (event.key === " " || event.key === "Enter") && release();
  const isHeld = began !== null;
  return html`<div class="press">
    <button type="button" class=${isHeld ? "primary hold held" : "primary hold"} disabled=${!label} aria-describedby="hold-hint"
        onPointerDown=${down} onPointerUp=${release} onPointerCancel=${cancel} onKeyDown=${keyDown} onKeyUp=${keyUp}
        onBlur=${cancel} onContextMenu=${(event) => event.preventDefault()}>
      <span class="held-bar" aria-hidden="true"></span><span>${t(isHeld ? "hold_on" : "hold")}</span>
    </button>
    <button type="button" disabled=${!label || isBusy} onClick=${() => teach({ seconds: LONGEST_S, ago_s: 1 })}>${t("just_now")}</button>
    <small id="hold-hint" class="muted">${t(label ? "hold_hint" : "name_first", { most: seconds(LONGEST_S) })}</small>
    <${Said} text=${isBusy ? t("teaching_it") : said.text} isBad=${said.isBad} />
  </div>`;
}
