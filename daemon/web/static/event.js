// One kept event: picture and sound, why it was recognised, and what somebody says about it.

import { html, useEffect, useState } from "../vendor/standalone.module.js";
import { address, get, post } from "./api.js";
import { useBox } from "./box.js";
import { kept, labelName, node, streamName } from "./follow.js";
import { percent, t, when, word } from "./language.js";
import { Marks } from "./marks.js";
import { Ask, Card, Said, reasonOf, useAction, useRead } from "./parts.js";
import { Player } from "./player.js";
import { useIsOwner } from "./session.js";
import { Legend, ShareBar, fractions, sharesText } from "./shares.js";
import { WasLabel } from "./was_label.js";

export function EventView({ id }) {
  const read = useRead(async () => (await get(address("events", id))).event, [id]);
  const event = read.value;
  const changed = useBox(kept);
  useBox(node); // its names of labels and streams
  useEffect(() => {
    if (changed?.id === id) read.again();
  }, [changed]);
  return html`<p><a class="back" href="#events">‹ ${t("all_events")}</a></p>
    ${read.error && html`<${Said} text=${reasonOf(read.error)} isBad />`}
    ${event && html`<h1>${labelName(event.label)} <small>${streamName(event.stream)}</small></h1>
      <div class="detail">
        <div>
          <${Media} event=${event} />
          <${Judge} event=${event} again=${read.again} />
        </div>
        <${Facts} event=${event} />
      </div>`}`;
}

function Media({ event }) {
  if (event.clip) return html`<${Player} event=${event} />`;
  const text = t(event.ended === null ? "clip_not_yet" : "no_clip");
  return html`<div class="card">
    ${event.snapshot && html`<img class="snapshot" src=${address("events", event.id, "snapshot.jpg")} alt=${t("snapshot_of", { label: labelName(event.label) })} />`}
    <p class="muted">${text}</p>
  </div>`;
}

function Facts({ event }) {
  const rows = [
    ["started", when(event.started)],
    ["ended", event.ended === null ? t("going_on") : `${when(event.ended)} (${word("ended_by", event.ended_by)})`],
    ["peak", `${percent(event.peak)}, ${when(event.peak_time)}`],
    ["bundle", event.bundle],
  ];
  return html`<${Card} title=${t("why")}>
    <${ShareBar} score=${1} shares=${event.shares} />
    <p>${sharesText(event.shares) || t("no_shares")}</p>
    <${Legend} senses=${fractions(event.shares).map(([sense]) => sense)} />
    <dl class="facts">${rows.map(([key, text]) => html`<div key=${key}><dt>${t(key)}</dt><dd>${text}</dd></div>`)}</dl>
    <p class="row"><${Marks} event=${event} /></p>
  <//>`;
}

function Judge({ event, again }) {
  const isOwner = useIsOwner();
  const [said, run, isBusy] = useAction();
  const [asked, ask] = useState(null);
  const judge = (answer, label) => run(async () => {
    const { text } = await post(address("events", event.id, "judge"), label === undefined ? { answer } : { answer, label });
    again();
    return text || t("noted");
  });
  const keep = () => run(async () => {
    await post(address("events", event.id, "keep"), { on: !event.kept });
    again();
    return t(event.kept ? "kept_no_longer" : "kept_now");
  });
  const remove = () => run(async () => {
    await post(address("events", event.id, "delete"));
    location.hash = "#events";
  });
  const pressed = (answer) => (event.verdict === answer ? "true" : "false");
  return html`<div class="judge">
    ${isOwner && html`<div class="row" role="group" aria-label=${t("was_it_right")}>
      <button type="button" disabled=${isBusy} aria-pressed=${pressed("right")} onClick=${() => judge("right")}>${t("right")}</button>
      <button type="button" disabled=${isBusy} aria-pressed=${pressed("wrong")} onClick=${() => judge("wrong")}>${t("wrong")}</button>
      <button type="button" disabled=${isBusy} aria-pressed=${pressed("was")} onClick=${() => ask("was")}>${t("it_was")}</button>
    </div>`}
    <div class="row">
      ${isOwner && html`<button type="button" disabled=${isBusy} aria-pressed=${event.kept ? "true" : "false"} onClick=${keep}>${t("keep")}</button>`}
      ${event.clip && html`<a class="button" href=${`${address("events", event.id, "clip.mp4")}?download=1`} download>${t("download")}</a>`}
      ${isOwner && html`<button type="button" class="danger" disabled=${isBusy} onClick=${() => ask("delete")}>${t("delete")}</button>`}
    </div>
    <${Said} ...${said} />
    ${asked === "delete" && html`<${Ask} title=${t("delete_title")} text=${t("delete_text")} yes=${t("delete")} onYes=${remove} onClose=${() => ask(null)} />`}
    ${asked === "was" && html`<${WasLabel} labels=${node.value?.streams?.[event.stream]} onLabel=${(label) => judge("was", label)} onClose=${() => ask(null)} />`}
  </div>`;
}
