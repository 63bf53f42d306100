// The view "Now": what each stream sees and hears, and what the node recognises in it.

import { html } from "../vendor/standalone.module.js";
import { useBox } from "./box.js";
import { labelName, minuteOf, node, topics } from "./follow.js";
import { clock, percent, t, word } from "./language.js";
import { Icon, Pill } from "./parts.js";
import { LivePicture } from "./picture.js";
import { LineOf, ScorePlot } from "./plot.js";
import { Legend, SENSES, ShareBar, sharesText } from "./shares.js";
import { SourceTrouble } from "./sources.js";

export function Now() {
  const described = useBox(node);
  if (described === null) return html`<h1>${t("now")}</h1><p class="muted">${t("opening")}</p>`;
  const streams = Object.entries(described.streams);
  return html`<h1>${t("now")}</h1>
    <div class=${streams.length > 1 ? "streams" : "streams single"}>
      ${streams.map(([name, facts]) => html`<${StreamCard} name=${name} facts=${facts} key=${name} />`)}
    </div>`;
}

function StreamCard({ name, facts }) {
  const told = useBox(topics);
  const health = told.health?.streams?.[name];
  const title = facts.name || name;
  return html`<article class="card stream" aria-label=${title}>
    <header class="row spread">
      <h2>${title}${facts.area && html` <small>${facts.area}</small>`}</h2>
      ${health?.paused && html`<${Pill} level="warn">${t("paused")}<//>`}
    </header>
    ${facts.camera && html`<${LivePicture} stream=${name} facts=${facts} />`}
    <div class="words">
      <${Present} state=${told[`${name}/state`]} />
      <${TaughtStates} states=${told[`${name}/states`]?.states} />
      <${Scores} stream=${name} facts=${facts} />
      <${SourceTrouble} sources=${health?.sources} />
    </div>
  </article>`;
}

// Says what is recognised at present: the labels of the open events.
function Present({ state }) {
  const open = state?.open ?? [];
  return html`<p class="present" role="status">
    ${open.length === 0
      ? html`<span class="muted">${t("nothing_now")}</span>`
      : open.map((label) => html`<strong class="chip on" key=${label}>${labelName(label)}</strong>`)}
    ${open.length > 0 && html`<small>${t("since", { time: clock(state.since) })}</small>`}
  </p>`;
}

function TaughtStates({ states = {} }) {
  const groups = Object.entries(states);
  return groups.length > 0 && html`<dl class="facts">
    ${groups.map(([group, { state, since }]) => html`<div key=${group}>
      <dt>${group}</dt><dd><b>${word("taught", state)}</b> <small>${t("since", { time: clock(since) })}</small></dd>
    </div>`)}
  </dl>`;
}

function Scores({ stream, facts }) {
  const minute = minuteOf(stream);
  const latest = useBox(minute.latest);
  if (latest === null) return html`<p class="muted">${t("scores_wait")}</p>`;
  const senses = SENSES.filter((sense) => ({ image: facts.camera, audio: facts.sound, text: facts.text })[sense]);
  return html`<ul class="scores" aria-label=${t("scores")}>
      ${minute.rows().map((row, slot) => row && html`<${Row} row=${row} slot=${slot} key=${slot} />`)}
    </ul>
    <${Legend} senses=${senses} />
    <${ScorePlot} minute=${minute} latest=${latest} />
    <${Gates} latest=${latest} facts=${facts} />`;
}

function Row({ row: { label, score, shares }, slot }) {
  return html`<li>
    <span class="name"><${LineOf} slot=${slot} /><b>${labelName(label)}</b></span>
    <${ShareBar} score=${score} shares=${shares} />
    <span class="figure">${percent(score)}</span>
    <span class="hidden">${sharesText(shares)}</span>
  </li>`;
}

const QUIET_DB = -70;

// Shows the sound level, and whether a gate holds sound or pictures back.
function Gates({ latest, facts }) {
  const { level_db: level, gates = {} } = latest;
  const isQuiet = level === null || level === undefined;
  const gate = (name) => facts.gates?.[name] && gates[name] !== null && gates[name] !== undefined
    && html`<${Pill} level=${gates[name] ? "good" : "rest"}>${t(`${name}_gate_${gates[name] ? "open" : "closed"}`)}<//>`;
  return html`<div class="row gates">
    ${!isQuiet && html`<span class="level" role="meter" aria-label=${t("level")} aria-valuemin=${QUIET_DB} aria-valuemax="0"
        aria-valuenow=${Math.round(level)} aria-valuetext=${`${Math.round(level)} dB`}>
      <${Icon} name="audio" /><span class="bar"><span class="fill" style=${{ width: `${levelPart(level)}%` }}><i class="audio"></i></span></span>
      <span class="figure">${Math.round(level)} dB</span>
    </span>`}
    ${gate("sound")} ${gate("motion")}
  </div>`;
}

function levelPart(level) {
  return Math.min(100, Math.max(0, 100 * (1 - level / QUIET_DB)));
}
