// The labels that the node was taught, with their examples as pictures and sound.

import { html, useState } from "../vendor/standalone.module.js";
import { address, command } from "./api.js";
import { streamName } from "./follow.js";
import { t, when, word } from "./language.js";
import { Ask, Card, Icon, Pill, Said, reasonOf, useAction, useRead } from "./parts.js";
import { useIsOwner } from "./session.js";

// warnings and the report name an example so
const ID_LENGTH = 8;
const WARNINGS_SHOWN = 2;
const LEVELS = { ready: "good", problem: "bad", fitting: "warn", waiting: "warn", learning_place: "rest" };

export function TaughtLabels({ teaching }) {
  const labels = teaching?.labels ?? [];
  return html`<${Card} title=${t("taught_labels")}>
    ${labels.length === 0 && html`<p class="muted">${t("no_labels")}</p>`}
    <ul class="taught">${labels.map((label) => html`<${TaughtLabel} label=${label} time=${teaching.time} key=${label.label} />`)}</ul>
  <//>`;
}

function TaughtLabel({ label, time }) {
  const isOwner = useIsOwner();
  const [isOpen, open] = useState(false);
  const [isAsking, ask] = useState(false);
  const [said, run, isBusy] = useAction();
  const forget = () => run(async () => (await command("teach_forget", { label: label.label })).reason || t("forgotten"));
  const where = label.everywhere ? t("everywhere") : label.streams.map(streamName).join(", ");
  return html`<li>
    <div class="row spread"><b>${label.label}</b><${Pill} level=${LEVELS[label.state] ?? "rest"}>${word("label", label.state)}<//></div>
    <p>${label.text}</p>
    <small class="muted">${where}</small>
    <${Warnings} warnings=${label.warnings} />
    <div class="row">
      ${isOwner && html`<button type="button" class="quiet" aria-expanded=${isOpen ? "true" : "false"} onClick=${() => open(!isOpen)}>
        ${t("examples", { n: label.presses })}</button>
      <button type="button" class="quiet danger" disabled=${isBusy} onClick=${() => ask(true)} aria-label=${t("forget_label", { label: label.label })}>
        ${t("forget")}</button>`}
    </div>
    <${Said} ...${said} />
    ${isOpen && html`<${Examples} label=${label.label} time=${time} />`}
    ${isAsking && html`<${Ask} title=${t("forget_label", { label: label.label })} text=${t("forget_text")} yes=${t("forget")} onYes=${forget} onClose=${() => ask(false)} />`}
  </li>`;
}

// Shows the first warnings, and the others when somebody wants to see them.
function Warnings({ warnings }) {
  const lines = (some) => some.map((warning) => html`<p class="warning" key=${warning}>${warning}</p>`);
  const others = warnings.slice(WARNINGS_SHOWN);
  return html`${lines(warnings.slice(0, WARNINGS_SHOWN))}
    ${others.length > 0 && html`<details><summary>${t("more_warnings", { n: others.length })}</summary>${lines(others)}</details>`}`;
}

// Shows the examples of a label. `time` is that of the topic, so that they are read anew after each change.
function Examples({ label, time }) {
  const read = useRead(async () => (await command("teach_list")).result.examples.filter((each) => each.label === label), [label, time]);
  const [said, run, isBusy] = useAction();
  const remove = (id) => run(async () => {
    await command("teach_remove", { example: id });
    read.again();
    return t("example_removed");
  });
  return html`${read.error && html`<${Said} text=${reasonOf(read.error)} isBad />`}
    <ul class="examples">${(read.value ?? []).map((example) => html`<li key=${example.id}>
      ${example.picture ? html`<img src=${address("examples", example.id, "picture.jpg")} alt=${t("example_picture", { time: when(example.time) })} loading="lazy" />`
        : html`<span class="no-picture"><${Icon} name=${example.sound ? "audio" : "text"} /></span>`}
      ${example.sound && html`<audio controls preload="none" src=${address("examples", example.id, "sound.wav")} aria-label=${t("example_sound", { time: when(example.time) })}></audio>`}
      <small>${when(example.time)} · ${word("origin", example.origin)} · <span title=${t("press_id")}>${example.id.slice(0, ID_LENGTH)}</span></small>
      <button type="button" class="quiet danger" disabled=${isBusy} onClick=${() => remove(example.id)} aria-label=${t("remove_example", { time: when(example.time) })}>${t("remove")}</button>
    </li>`)}</ul>
    <${Said} ...${said} />`;
}
