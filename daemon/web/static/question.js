// The question that the node asks: a moment that would teach it most.

import { html, useState } from "../vendor/standalone.module.js";
import { command } from "./api.js";
import { node } from "./follow.js";
import { t } from "./language.js";
import { Card, Said, useAction } from "./parts.js";
import { useIsOwner } from "./session.js";
import { WasLabel } from "./was_label.js";

export function Question({ question }) {
  const isOwner = useIsOwner();
  const [said, run, isBusy] = useAction();
  const [isAsking, ask] = useState(false);
  const answer = (values) => run(async () => (await command("teach_answer", { question: question.id, ...values })).reason || t("noted"));
  // of a moment without an event, "right" means that nothing happened
  const [right, wrong] = question.recognised ? ["right", "wrong"] : ["did_not_happen", "did_happen"];
  return html`<${Card} title=${t("question")} kind="question">
    <p>${question.text}</p>
    ${isOwner && html`<div class="row">
      <button type="button" disabled=${isBusy} onClick=${() => answer({ answer: "right" })}>${t(right)}</button>
      <button type="button" disabled=${isBusy} onClick=${() => answer({ answer: "wrong" })}>${t(wrong)}</button>
      <button type="button" disabled=${isBusy} onClick=${() => ask(true)}>${t("it_was")}</button>
    </div>`}
    <${Said} ...${said} />
    ${isAsking && html`<${WasLabel} labels=${node.value?.streams?.[question.stream]} onClose=${() => ask(false)}
      onLabel=${(label) => answer({ answer: "was", label })} />`}
  <//>`;
}
