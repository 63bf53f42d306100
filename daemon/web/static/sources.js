// Sources of a stream and their trouble, in words.

import { html } from "../vendor/standalone.module.js";
import { t, word } from "./language.js";
import { Pill } from "./parts.js";

const LEVELS = { healthy: "good", recovering: "rest", degraded: "warn", stalled: "bad", backing_off: "bad" };

function sourceLevel(state) {
  return LEVELS[state] ?? "rest";
}

// Lists the sources, each with its state; the reason stands beside one that is in trouble, unless it was `told` above.
export function SourceTrouble({ sources = {}, told = "" }) {
  const all = Object.entries(sources);
  return all.length > 0 && html`<ul class="sources" aria-label=${t("sources")}>
    ${all.map(([name, { state, reason }]) => html`<li key=${name}>
      <span>${word("source", name)}</span> <${Pill} level=${sourceLevel(state)}>${word("state", state)}<//>
      ${reason && state !== "healthy" && !told.includes(reason) && html`<p>${reason}</p>`}
    </li>`)}
  </ul>`;
}
