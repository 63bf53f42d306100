// Draws a part of a camera's picture, which becomes a stream of its own.

import { html, useRef, useState } from "../vendor/standalone.module.js";
import { get, post } from "./api.js";
import { node, refresh } from "./follow.js";
import { percent, t } from "./language.js";
import { Ask, Card, Field, Said, useAction } from "./parts.js";
import { LivePicture } from "./picture.js";
import { withStream, yamlOfView } from "./yaml_lines.js";

const SIDES = ["left", "top", "right", "bottom"];
const SMALLEST = 0.02;

export function Region({ stream, names }) {
  const facts = node.value.streams[stream];
  const [region, set] = useState({ left: 0.25, top: 0.25, right: 0.75, bottom: 0.75 });
  const [name, setName] = useState("");
  const [isOpen, open] = useState(false);
  if (facts.view_of) return html`<${Card} title=${t("region")}><p class="muted">${t("region_of_view")}</p><//>`;
  const isUsable = /^[A-Za-z0-9][A-Za-z0-9_-]*$/.test(name) && !names.includes(name) && name !== "command";
  return html`<${Card} title=${t("region")}>
    <p class="muted">${t("region_text")}</p>
    ${!isOpen && html`<button type="button" onClick=${() => open(true)}>${t("region_draw")}</button>`}
    ${isOpen && html`<div class="detail">
      <${LivePicture} stream=${stream} facts=${facts}><${Rectangle} region=${region} onRegion=${set} /><//>
      <div>
        <div class="row sides">${SIDES.map((side) => html`<${Field} label=${t(`side_${side}`)} key=${side}>
          <input type="number" min="0" max="100" step="1" value=${Math.round(100 * region[side])}
            onInput=${(event) => set(corrected({ ...region, [side]: Number(event.target.value) / 100 }))} /><//>`)}</div>
        <${Field} label=${t("region_name")} hint=${t("region_name_hint")}>
          <input maxlength="40" value=${name} onInput=${(event) => setName(event.target.value.trim())} /><//>
        ${isUsable && html`<${Add} lines=${yamlOfView(name, stream, region)} />`}
      </div>
    </div>`}
  <//>`;
}

// Returns a region within the picture whose sides are in order.
export function corrected(region) {
  const clip = (value) => Math.min(1, Math.max(0, Number.isFinite(value) ? value : 0));
  const left = Math.min(clip(region.left), 1 - SMALLEST);
  const top = Math.min(clip(region.top), 1 - SMALLEST);
  return { left, top, right: Math.max(clip(region.right), left + SMALLEST), bottom: Math.max(clip(region.bottom), top + SMALLEST) };
}

// The rectangle over the picture. It is drawn with a finger or a mouse; the fields beside it do the same by keys.
function Rectangle({ region, onRegion }) {
  const from = useRef(null);
  const at = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  const down = (event) => {
    event.currentTarget.setPointerCapture(event.pointerId);
    from.current = at(event);
  };
  const move = (event) => {
    if (from.current === null) return;
    const [[x, y], [left, top]] = [at(event), from.current];
    onRegion(corrected({ left: Math.min(x, left), right: Math.max(x, left), top: Math.min(y, top), bottom: Math.max(y, top) }));
  };
  const style = { left: percentOf(region.left), top: percentOf(region.top), width: percentOf(region.right - region.left), height: percentOf(region.bottom - region.top) };
  return html`<div class="draw" onPointerDown=${down} onPointerMove=${move} onPointerUp=${() => (from.current = null)} onPointerCancel=${() => (from.current = null)}>
    <div class="rectangle" role="img" aria-label=${t("region_is", { width: percent(region.right - region.left), height: percent(region.bottom - region.top) })} style=${style}></div>
  </div>`;
}

function percentOf(part) {
  return `${100 * part}%`;
}

// Writes the stream into the config where this page may, and else shows the lines to copy.
function Add({ lines }) {
  const [said, run, isBusy] = useAction();
  const [plan, setPlan] = useState(null);
  const check = () => run(async () => {
    const config = await get("api/config");
    const text = config.writable ? withStream(config.text, lines) : null;
    if (text === null) return t("copy_lines", { path: config.path });
    setPlan({ text, confirm: true, tag: config.tag });
    return null;
  });
  const write = () => run(async () => {
    await post("api/config", plan);
    await post("api/reload");
    await refresh();
    return t("region_added");
  });
  return html`<pre class="copy" tabindex="0" aria-label=${t("lines")}>${lines}</pre>
    <button type="button" class="primary" disabled=${isBusy} onClick=${check}>${t("region_add")}</button>
    <${Said} ...${said} />
    ${plan !== null && html`<${Ask} title=${t("config_write")} text=${t("config_write_text")} yes=${t("config_write")} isDanger=${false} onYes=${write} onClose=${() => setPlan(null)} />`}`;
}
