// The health of the node in words: streams and their sources, the broker, the history, encoders and accelerators.

import { html } from "../vendor/standalone.module.js";
import { streamName } from "./follow.js";
import { megabytes, number, t, when, word } from "./language.js";
import { Card, Pill } from "./parts.js";
import { SourceTrouble } from "./sources.js";

const LEVELS = { ok: "good", look: "warn", degraded: "warn", failed: "bad", stopped: "rest", in_use: "good", starting: "rest", absent: "warn" };

export function Health({ health, status }) {
  if (!health) return html`<${Card} title=${t("health")}><p class="muted">${t("no_health")}</p><//>`;
  const troubles = [status?.reason, health.trouble, health.reload_problem, health.bundle_changed, health.metrics_problem,
    health.state_problem, health.teaching?.problem, health.history?.problem];
  const told = [...new Set(troubles)].filter(Boolean);
  // a node is well without its broker, and somebody should look all the same
  const isWell = health.status === "ok" && told.length === 0 && health.mqtt?.connected !== false;
  const state = health.status === "ok" && !isWell ? "look" : health.status;
  return html`<${Card} title=${t("health")} extra=${html`<${Pill} level=${LEVELS[state]}>${word("status", state)}<//>`}>
    ${told.map((text) => html`<p class="warning" key=${text}>${text}</p>`)}
    ${Object.entries(health.streams).map(([name, stream]) => html`<div class="block" key=${name}>
      <h3>${streamName(name)}${stream.paused && html` <${Pill} level="warn">${t("paused")}<//>`}</h3>
      <${SourceTrouble} sources=${stream.sources} told=${status?.reason ?? ""} />
      <p class="muted">${t("stream_counts", { recognitions: number(stream.recognitions), events: number(stream.events), dropped: number(droppedOf(stream)) })}</p>
    </div>`)}
    <dl class="facts">${rowsOf(health).map(([key, text]) => html`<div key=${key}><dt>${t(key)}</dt><dd>${text}</dd></div>`)}</dl>
  <//>`;
}

function rounded(milliseconds) {
  return number(milliseconds, { maximumFractionDigits: milliseconds < 10 ? 1 : 0 });
}

function droppedOf(stream) {
  const counts = Object.values(stream.inputs ?? {}).flatMap(({ dropped }) => Object.values(dropped ?? {}));
  return counts.reduce((sum, count) => sum + count, 0);
}

function rowsOf(health) {
  const { mqtt, process, latency_ms: latency, history } = health;
  const rows = [["version", health.version], ["bundle", health.bundle], ["as_of", when(health.time)]];
  if (mqtt) rows.push(["broker", mqtt.connected ? t("broker_connected", { since: when(mqtt.since) }) : mqtt.reason || t("broker_away")]);
  if (latency?.p99) rows.push(["latency", t("latency_values", { p50: rounded(latency.p50), p99: rounded(latency.p99) })]);
  if (history?.enabled) rows.push(["history", t("history_values", { events: number(history.events), used: megabytes(history.bytes), quota: megabytes(history.quota_bytes) })]);
  if (process) {
    rows.push(["uptime", uptime(process.uptime_s)]);
    rows.push(["load", t("load_values", { cpu: uptime(process.cpu_s), memory: `${number(process.peak_rss_mb, { maximumFractionDigits: 0 })} MB` })]);
  }
  return rows;
}

// Returns a time in seconds in words.
function uptime(total) {
  const [days, hours, minutes] = [Math.floor(total / 86400), Math.floor((total % 86400) / 3600), Math.floor((total % 3600) / 60)];
  if (total < 60) return t("under_a_minute");
  return t(days > 0 ? "days_hours" : hours > 0 ? "hours_minutes" : "minutes_only", { days, hours, minutes });
}

export function Accelerators({ health }) {
  const encoders = Object.entries(health?.encoders ?? {});
  const accelerators = Object.entries(health?.accelerators ?? {});
  return html`<${Card} title=${t("accelerators")}>
    ${accelerators.length === 0 && html`<p class="muted">${t("no_accelerators")}</p>`}
    ${accelerators.map(([name, each]) => html`<div class="block" key=${name}>
      <h3>${name} <${Pill} level=${LEVELS[each.state] ?? "rest"}>${word("accelerator", each.state)}<//></h3>
      ${each.reason && html`<p class="warning">${each.reason}</p>`}
      ${Object.entries(each.encoders ?? {}).map(([encoder, run]) => html`<p class="muted" key=${encoder}>
        ${t("accelerator_ran", { encoder, ran: number(run.ran), cpu: number(run.on_cpu), p50: run.p50_ms === null ? "–" : number(run.p50_ms) })}</p>`)}
    </div>`)}
    <dl class="facts">${encoders.map(([name, each]) => html`<div key=${name}>
      <dt>${t("encoder", { name })}</dt><dd>${word("device", each.device)}${each.reason && html`<small>${each.reason}</small>`}</dd></div>`)}</dl>
  <//>`;
}
