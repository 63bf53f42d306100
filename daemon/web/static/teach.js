// The view "Teach": labels of this place, by showing what happens.

import { html, useState } from "../vendor/standalone.module.js";
import { command } from "./api.js";
import { useBox } from "./box.js";
import { node, streamName, topics } from "./follow.js";
import { t } from "./language.js";
import { FitProgress } from "./fit.js";
import { TaughtLabels } from "./labels.js";
import { Card, Field, Said, useAction } from "./parts.js";
import { LivePicture } from "./picture.js";
import { Press } from "./press.js";
import { Question } from "./question.js";
import { Region } from "./region.js";
import { Report } from "./report.js";
import { useIsOwner } from "./session.js";

export function Teach() {
  const described = useBox(node);
  const teaching = useBox(topics).teaching;
  const isOwner = useIsOwner();
  const [stream, choose] = useState(null);
  if (described === null) return html`<h1>${t("teach")}</h1><p class="muted">${t("opening")}</p>`;
  const names = Object.keys(described.streams);
  const chosen = stream ?? names[0];
  if (teaching?.enabled === false) return html`<h1>${t("teach")}</h1><p class="card">${t("teaching_off")}</p>`;
  return html`<h1>${t("teach")}</h1>
    ${teaching?.question && html`<${Question} question=${teaching.question} key=${teaching.question.id} />`}
    <div class="detail">
      <div>${isOwner ? html`<${Show} stream=${chosen} names=${names} choose=${choose} teaching=${teaching} key=${chosen} />`
        : html`<p class="card">${t("viewer_only")}</p>`}
        <${TaughtLabels} teaching=${teaching} /></div>
      <div><${Places} places=${teaching?.places} /><${FitProgress} teaching=${teaching} /><${Undo} /></div>
    </div>
    <${Report} teaching=${teaching} />
    ${isOwner && described.streams[chosen]?.camera && html`<${Region} stream=${chosen} names=${names} key=${`region ${chosen}`} />`}`;
}

// Names what happens, and shows it. A state of something, such as a gate that is open, is a label of a group.
function Show({ stream, names, choose, teaching }) {
  const [kind, setKind] = useState("event");
  const [label, setLabel] = useState(teaching?.next_label ?? "");
  const [group, setGroup] = useState("");
  const facts = node.value.streams[stream];
  const taught = teaching?.labels ?? [];
  const groups = [...new Set(taught.map((each) => each.state_of).filter(Boolean))];
  const name = kind === "state" ? group.trim() && label.trim() && `${group.trim()}: ${label.trim()}` : label.trim();
  const known = taught.filter((each) => (kind === "state" ? each.state_of === group.trim() : each.state_of === null));
  const short = (full) => (kind === "state" ? full.slice(group.trim().length + 2) : full);
  return html`<${Card} title=${t("show_it")}>
    ${names.length > 1 && html`<${Field} label=${t("stream")}>
      <select value=${stream} onChange=${(event) => choose(event.target.value)}>
        ${names.map((each) => html`<option value=${each} key=${each}>${streamName(each)}</option>`)}
      </select><//>`}
    ${facts.camera && html`<${LivePicture} stream=${stream} facts=${facts} />`}
    <fieldset class="row kinds"><legend class="hidden">${t("kind")}</legend>
      ${["event", "state"].map((each) => html`<label class="radio" key=${each}>
        <input type="radio" name="kind" value=${each} checked=${kind === each} onChange=${() => setKind(each)} />${t(`kind_${each}`)}
      </label>`)}
    </fieldset>
    ${kind === "state" && html`<${Field} label=${t("group")} hint=${t("group_hint")}>
      <input list="groups" maxlength="40" value=${group} onInput=${(event) => setGroup(event.target.value)} /><//>
      <datalist id="groups">${groups.map((each) => html`<option value=${each} key=${each}></option>`)}</datalist>`}
    <${Field} label=${t(kind === "state" ? "state_name" : "what_happens")} hint=${t(kind === "state" ? "state_hint" : "label_hint")}>
      <input list="taught-labels" maxlength="64" value=${label} onInput=${(event) => setLabel(event.target.value)} /><//>
    <datalist id="taught-labels">${known.map((each) => html`<option value=${short(each.label)} key=${each.label}></option>`)}</datalist>
    <${Press} label=${name} stream=${stream} />
  <//>`;
}

// Shows how much background of each stream is known.
function Places({ places = {} }) {
  const all = Object.entries(places);
  return all.length > 0 && html`<${Card} title=${t("background")}>
    <p class="muted">${t("background_text")}</p>
    ${all.map(([stream, { background, needed }]) => html`<div class="place" key=${stream}>
      <span class="row spread"><b>${streamName(stream)}</b>
        <small>${t(background < needed ? "background_of" : "background_enough", { n: background, needed })}</small></span>
      <progress value=${Math.min(background, needed)} max=${needed} aria-label=${t("background_in", { stream: streamName(stream) })}></progress>
    </div>`)}
  <//>`;
}

function Undo() {
  const isOwner = useIsOwner();
  const [said, run, isBusy] = useAction();
  const undo = () => run(async () => t("undone", { what: (await command("teach_undo")).result?.undone ?? "" }));
  return isOwner && html`<${Card} title=${t("undo")}>
    <p class="muted">${t("undo_text")}</p>
    <button type="button" disabled=${isBusy} onClick=${undo}>${t("undo_latest")}</button>
    <${Said} ...${said} />
  <//>`;
}
