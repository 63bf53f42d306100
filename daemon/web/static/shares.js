// Bars of scores, split by the sense that speaks for a label.

import { html } from "../vendor/standalone.module.js";
import { percent, t } from "./language.js";
import { Icon } from "./parts.js";

export const SENSES = ["image", "audio", "text"];

// Returns the parts of the senses in what speaks for a label; they add up to 1. A sense that speaks against it has 0.
export function fractions(shares = {}) {
  const positive = SENSES.map((sense) => [sense, Math.max(0, shares[sense] ?? 0)]);
  const sum = positive.reduce((total, [, share]) => total + share, 0);
  return sum === 0 ? [] : positive.filter(([, share]) => share > 0).map(([sense, share]) => [sense, share / sum]);
}

// Returns the parts of the senses in words, such as "80 % sound, 20 % picture".
export function sharesText(shares) {
  const parts = fractions(shares).sort((one, other) => other[1] - one[1]);
  return parts.map(([sense, part]) => `${percent(part)} ${t(sense)}`).join(", ");
}

// a sense that says less than this was not the reason
const LEAST = 0.2;

// Returns the sense that speaks most for a label.
export function mainSense(shares) {
  return fractions(shares).sort((one, other) => other[1] - one[1])[0]?.[0] ?? "audio";
}

// Shows by which senses something was recognised, such as a sound in a picture that shows nothing.
export function SenseIcons({ shares }) {
  const senses = fractions(shares).filter(([, part]) => part >= LEAST);
  return html`<span class="senses" title=${sharesText(shares)}>${senses.map(([sense]) => html`<${Icon} name=${sense} key=${sense} />
    <span class="hidden">${t(sense)}</span>`)}</span>`;
}

// Draws one bar: as long as the score, in the colours of the senses.
export function ShareBar({ score, shares }) {
  const parts = fractions(shares);
  return html`<span class="bar" aria-hidden="true"><span class="fill" style=${{ width: `${100 * score}%` }}>
    ${parts.length === 0 && html`<i class="none" style=${{ flexGrow: 1 }}></i>`}
    ${parts.map(([sense, part]) => html`<i class=${sense} style=${{ flexGrow: part }} key=${sense}></i>`)}
  </span></span>`;
}

// Says which colour stands for which sense.
export function Legend({ senses = SENSES }) {
  return html`<ul class="legend" aria-label=${t("senses")}>
    ${senses.map((sense) => html`<li key=${sense}><i class=${sense} aria-hidden="true"></i>${t(sense)}</li>`)}
  </ul>`;
}
