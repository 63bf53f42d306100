// A run of doctor: everything that the node depends on, and what to do where something is wrong.

import { html, useState } from "../vendor/standalone.module.js";
import { post } from "./api.js";
import { t, word } from "./language.js";
import { Card, Pill, Said, useAction } from "./parts.js";

const LEVELS = { good: "good", warning: "warn", failure: "bad" };

export function Doctor() {
  const [findings, set] = useState(null);
  const [said, run, isBusy] = useAction();
  const examine = () => run(async () => {
    set((await post("api/doctor")).report.findings);
    return null;
  });
  return html`<${Card} title=${t("doctor")}>
    <p class="muted">${t("doctor_text")}</p>
    <button type="button" disabled=${isBusy} onClick=${examine}>${t("doctor_run")}</button>
    <${Said} text=${isBusy ? t("doctor_runs") : said.text} isBad=${said.isBad} />
    ${findings && html`<ul class="findings">${findings.map(({ check, level, found, remedy }, index) => html`<li key=${index}>
      <${Pill} level=${LEVELS[level] ?? "rest"}>${word("finding", level)}<//> <b>${check}</b>
      <p>${found}</p>${remedy && html`<p class="warning">${remedy}</p>`}
    </li>`)}</ul>`}
  <//>`;
}
