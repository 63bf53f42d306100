// What somebody has decided about an event.

import { html } from "../vendor/standalone.module.js";
import { labelName } from "./follow.js";
import { t } from "./language.js";
import { Icon, Pill } from "./parts.js";

export function Marks({ event }) {
  const verdict = event.verdict === "was" ? t("was_label", { label: labelName(event.was) }) : event.verdict && t(`verdict_${event.verdict}`);
  return html`${event.kept && html`<${Pill} level="rest"><${Icon} name="pin" />${t("kept")}<//>`}
    ${verdict && html`<${Pill} level=${event.verdict === "right" ? "good" : "warn"}>${verdict}<//>`}`;
}
