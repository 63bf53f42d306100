// Asks which label it was instead.

import { html, useState } from "../vendor/standalone.module.js";
import { labelName } from "./follow.js";
import { t } from "./language.js";
import { Ask, Field } from "./parts.js";

// `labels` is the description of the stream, with its labels and those that were taught.
export function WasLabel({ labels, onLabel, onClose }) {
  const [label, set] = useState("");
  const known = [...new Set([...(labels?.taught ?? []), ...(labels?.labels ?? [])])];
  return html`<${Ask} title=${t("was_title")} text=${t("was_text")} yes=${t("save")} isDanger=${false}
      onYes=${() => label.trim() && onLabel(label.trim())} onClose=${onClose}>
    <${Field} label=${t("label")}>
      <input list="known-labels" maxlength="64" value=${label} onInput=${(event) => set(event.target.value)} />
    <//>
    <datalist id="known-labels">${known.map((each) => html`<option value=${each} key=${each}>${labelName(each)}</option>`)}</datalist>
  <//>`;
}
