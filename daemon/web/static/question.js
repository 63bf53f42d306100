// The question that the node asks: a moment that would teach it most.

import { html, useState } from "../vendor/standalone.module.js";
import { address, command, get, withQuery } from "./api.js";
import { node } from "./follow.js";
import { t } from "./language.js";
import { Card, Said, useAction, useRead } from "./parts.js";
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
    <${Shown} question=${question} />
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

// Shows the kept event that the question is about, where there is one.
function Shown({ question }) {
  const { value: event } = useRead(() => eventOf(question), [question.id]);
  return event && html`<a class="row" href=${`#events/${encodeURIComponent(event.id)}`}>
    ${event.snapshot && html`<img class="thumb" src=${address("events", event.id, "snapshot.jpg")} alt="" />`}${t("see_event")}
  </a>`;
}

const NEAR_MS = 2_000;

async function eventOf({ stream, label, time, recognised }) {
  if (!recognised || !node.value?.history) return null;
  const at = Date.parse(time);
  const { events } = await get(withQuery(address("events"), { stream, label, limit: 20 }));
  const isAt = ({ started, ended }) => Date.parse(started) - NEAR_MS <= at && (ended === null || at <= Date.parse(ended) + NEAR_MS);
  return events.find(isAt) ?? null;
}
