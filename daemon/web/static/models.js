// The bundles of the node: which one runs, and which ones could.

import { html, useState } from "../vendor/standalone.module.js";
import { command } from "./api.js";
import { megabytes, t, when, word } from "./language.js";
import { Ask, Card, Field, Pill, Said, useAction } from "./parts.js";
import { useIsOwner } from "./session.js";

export function Models({ models }) {
  const isOwner = useIsOwner();
  if (!models) return html`<${Card} title=${t("models")}><p class="muted">${t("no_models")}</p><//>`;
  const { active, previous, candidate } = models;
  return html`<${Card} title=${t("models")}>
    <dl class="facts">
      <div><dt>${t("active")}</dt><dd><b>${active.id}</b> ${models.pinned && html`<${Pill} level="rest">${t("pinned")}<//>`}</dd></div>
      ${previous && html`<div><dt>${t("previous")}</dt><dd>${previous.id}</dd></div>`}
      ${models.latest !== active.version && html`<div><dt>${t("latest")}</dt><dd>${models.latest}</dd></div>`}
      ${models.source && html`<div><dt>${t("source")}</dt><dd>${models.source}</dd></div>`}
      ${models.last_check && html`<div><dt>${t("last_check")}</dt><dd>${when(models.last_check.time)}${models.last_check.reason && html`<small>${models.last_check.reason}</small>`}</dd></div>`}
    </dl>
    ${candidate && html`<${Candidate} candidate=${candidate} />`}
    ${models.trouble && html`<p class="warning">${models.trouble}</p>`}
    ${models.last_result && !models.last_result.ok && html`<p class="warning">${t("given_up", { bundle: models.last_result.bundle, stage: word("stage", models.last_result.stage) })} ${models.last_result.reason}</p>`}
    ${!models.source && html`<p class="muted">${t("no_source")}</p>`}
    ${isOwner && html`<${Actions} models=${models} />`}
  <//>`;
}

function Candidate({ candidate }) {
  const { stage, bytes_done: done, bytes_total: total } = candidate;
  const isFetched = stage === "download" && total > 0;
  return html`<div class="block">
    <p role="status">${t("installing", { bundle: candidate.id, stage: word("stage", stage) })}</p>
    <progress aria-label=${t("installing", { bundle: candidate.id, stage: word("stage", stage) })} value=${isFetched ? done : undefined} max=${isFetched ? total : 1}></progress>
    ${isFetched && html`<small>${t("of", { n: megabytes(done), all: megabytes(total) })}</small>`}
  </div>`;
}

function Actions({ models }) {
  const [said, run, isBusy] = useAction();
  const [chosen, choose] = useState(null);
  const [isAsking, ask] = useState(false);
  const send = (name, values) => run(async () => (await command(name, values)).reason || t("done"));
  const others = models.available.filter((id) => id !== models.active.id);
  const bundle = others.includes(chosen) ? chosen : others[0];
  const install = () => {
    const [name, version] = bundle.split("@");
    send("models_install", { name, version });
  };
  return html`${others.length > 0 && html`<div class="row bottom">
      <${Field} label=${t("available")}><select value=${bundle} onChange=${(event) => choose(event.target.value)}>
        ${others.map((id) => html`<option value=${id} key=${id}>${id}</option>`)}</select><//>
      <button type="button" disabled=${isBusy} onClick=${install}>${t("install")}</button>
    </div>`}
    <div class="row">
      ${models.source && html`<button type="button" disabled=${isBusy} onClick=${() => send("models_check")}>${t("check")}</button>`}
      ${models.previous && html`<button type="button" disabled=${isBusy} onClick=${() => ask(true)}>${t("rollback")}</button>`}
      ${models.source && html`<button type="button" disabled=${isBusy} aria-pressed=${models.pinned ? "true" : "false"} onClick=${() => send("models_pin", { on: !models.pinned })}>${t("pin")}</button>`}
    </div>
    <${Said} ...${said} />
    ${isAsking && html`<${Ask} title=${t("rollback")} text=${t("rollback_text", { bundle: models.previous.id })} yes=${t("rollback")} isDanger=${false}
      onYes=${() => send("models_rollback")} onClose=${() => ask(false)} />`}`;
}
