// The report of the latest fit: as a matrix of what examples were recognised as, and in words.

import { html } from "../vendor/standalone.module.js";
import { command } from "./api.js";
import { number, t } from "./language.js";
import { Card, useRead } from "./parts.js";
import { useIsOwner } from "./session.js";

export function Report({ teaching }) {
  const isOwner = useIsOwner();
  return isOwner && (teaching?.labels ?? []).some(({ tried }) => tried !== null) && html`<${Shown} key=${teaching.bundle} bundle=${teaching.bundle} />`;
}

function Shown({ bundle }) {
  const { value, error } = useRead(async () => (await command("teach_report")).result, [bundle]);
  if (value === null) return error && html`<${Card} title=${t("report")}><p class="muted">${error.message}</p><//>`;
  return html`<${Card} title=${t("report")}>
    <${Matrix} labels=${value.report.labels} />
    <ul class="report">${value.text.map((line, index) => html`<li class=${line.startsWith("  ") ? "sub" : ""} key=${index}>${line.trim()}</li>`)}</ul>
  <//>`;
}

// Draws a row for each label and a column for what its held-out examples were recognised as.
function Matrix({ labels }) {
  const columns = columnsOf(labels);
  return html`<p class="muted" id="matrix-text">${t("matrix_text")}</p>
    <div class="scroll" tabindex="0" role="region" aria-label=${t("matrix")}><table class="matrix" aria-describedby="matrix-text">
    <thead><tr><th scope="col">${t("example_of")}</th>
      ${columns.map((column) => html`<th scope="col" key=${column}>${column}</th>`)}
      <th scope="col">${t("not_found")}</th><th scope="col">${t("false_alarms")}</th></tr></thead>
    <tbody>${labels.map((row) => html`<tr key=${row.label}><th scope="row">${row.label}</th>
      ${columns.map((column) => html`<${Cell} count=${countOf(row, column)} tried=${row.tried} isRight=${column === row.label} key=${column} />`)}
      <${Cell} count=${row.tried === null ? null : row.tried - row.found} tried=${row.tried} />
      <td>${row.false_alarms_a_day === null ? "–" : number(row.false_alarms_a_day.expected, { maximumSignificantDigits: 2 })}</td></tr>`)}
    </tbody>
  </table></div>`;
}

// Returns the labels of the columns: those of the rows, and others that they were taken for.
function columnsOf(labels) {
  const others = labels.flatMap((row) => row.confused_with.map(({ label }) => label));
  return [...new Set([...labels.map(({ label }) => label), ...others])];
}

function countOf(row, column) {
  if (column === row.label) return row.found;
  return row.confused_with.find(({ label }) => label === column)?.presses ?? 0;
}

function Cell({ count, tried, isRight = false }) {
  if (count === null) return html`<td>–</td>`;
  const kind = count === 0 ? "zero" : isRight ? "hit" : "miss";
  return html`<td class=${kind}>${isRight && tried ? t("of", { n: count, all: tried }) : count}</td>`;
}
