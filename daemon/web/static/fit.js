// How far the taught labels are: the fit, and the installation of what it has made.

import { html } from "../vendor/standalone.module.js";
import { command } from "./api.js";
import { useBox } from "./box.js";
import { topics } from "./follow.js";
import { t, word } from "./language.js";
import { Card, Said, useAction } from "./parts.js";
import { useIsOwner } from "./session.js";

// what a taught bundle goes through after its fit
const STEPS = ["fitting", "check", "selftest", "switch", "probation"];

export function FitProgress({ teaching }) {
  const isOwner = useIsOwner();
  const models = useBox(topics).models;
  const [said, run, isBusy] = useAction();
  const fit = () => run(async () => (await command("teach_fit")).reason || t("fit_begun"));
  const step = stepOf(teaching, models);
  return html`<${Card} title=${t("fit")}>
    <p>${teaching?.text}</p>
    ${step !== null && html`<ol class="steps" aria-label=${t("fit_progress")}>
        ${STEPS.map((each, index) => html`<li class=${index < step ? "done" : ""} aria-current=${index === step ? "step" : undefined} key=${each}>
          ${word("stage", each)}</li>`)}
      </ol>
      <progress aria-label=${t("fit_progress")} value=${step < 1 ? undefined : step} max=${STEPS.length}></progress>`}
    <p class="muted">${t("active_bundle", { bundle: teaching?.bundle ?? "" })}</p>
    ${models?.candidate?.waits && html`<p class="warning">${models.candidate.waits}</p>`}
    ${isOwner && html`<button type="button" disabled=${isBusy} onClick=${fit}>${t("fit_now")}</button>`}
    <${Said} ...${said} />
  <//>`;
}

// Returns the number of the step that is under way, or null.
export function stepOf(teaching, models) {
  if (models?.candidate?.taught) {
    const step = STEPS.indexOf(models.candidate.stage);
    return step < 0 ? 1 : step;
  }
  return (teaching?.labels ?? []).some(({ state }) => state === "fitting") ? 0 : null;
}
