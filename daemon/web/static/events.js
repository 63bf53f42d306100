// The view "Events": what was recognised and kept, by day, stream and label.

import { html, useEffect, useState } from "../vendor/standalone.module.js";
import { address, get, withQuery } from "./api.js";
import { useBox } from "./box.js";
import { EventView } from "./event.js";
import { kept, labelName, node, streamName, topics } from "./follow.js";
import { clock, dayText, megabytes, percent, seconds, t } from "./language.js";
import { Marks } from "./marks.js";
import { Field, Icon, Said, reasonOf, useRead } from "./parts.js";
import { Question } from "./question.js";

const NO_FILTER = { day: "", stream: "", label: "" };

// what was chosen stays while somebody looks at an event and comes back
let chosen = NO_FILTER;

export function Events({ detail }) {
  return detail ? html`<${EventView} id=${detail} key=${detail} />` : html`<${EventList} />`;
}

function EventList() {
  const described = useBox(node);
  const question = useBox(topics).teaching?.question;
  const [filter, setFilter] = useState(chosen);
  const choose = (part) => {
    chosen = { ...filter, ...part };
    setFilter(chosen);
  };
  const days = useRead(() => get("api/days"), []);
  const list = useList(filter);
  const isOff = described !== null && described.history === null;
  return html`<div class="row spread"><h1>${t("events")}</h1><${Usage} days=${days.value} /></div>
    ${question && html`<${Question} question=${question} key=${question.id} />`}
    ${isOff && html`<section class="card"><p>${t("history_off")}</p><pre class="copy">history: {}</pre></section>`}
    ${!isOff && days.value && html`<${Filter} days=${days.value} filter=${filter} choose=${choose} />`}
    ${list.events.length > 0 && html`<${ByDay} events=${list.events} />`}
    ${!isOff && list.isRead && list.events.length === 0 && html`<p class="empty-view">${t("no_events")}</p>`}
    ${list.error && html`<${Said} text=${reasonOf(list.error)} isBad />`}
    ${list.more && html`<button type="button" class="wide" onClick=${list.next}>${t("more_events")}</button>`}`;
}

// Returns the events that fit the filter: those that were read, and changes as they come.
function useList(filter) {
  const [list, set] = useState({ events: [], more: false, isRead: false, error: null });
  const changed = useBox(kept);
  const read = async (before, events) => {
    try {
      const page = await get(withQuery("api/events", { ...filter, before, limit: 24 }));
      return { events: [...events, ...page.events], more: page.more, isRead: true, error: null };
    } catch (error) {
      return { events, more: false, isRead: true, error };
    }
  };
  useEffect(() => {
    let isGone = false;
    read("", []).then((page) => isGone || set(page));
    return () => {
      isGone = true;
    };
  }, [filter]);
  useEffect(() => {
    if (changed !== null && list.isRead) set((before) => ({ ...before, events: merged(before.events, changed, filter) }));
  }, [changed]);
  const next = async () => set(await read(list.events.at(-1).number, list.events));
  return { ...list, next };
}

// Returns the events with one that changed: in its place, or first when it is new and fits the filter.
export function merged(events, changed, filter) {
  const index = events.findIndex(({ id }) => id === changed.id);
  if (index >= 0) return events.map((event, at) => (at === index ? changed : event));
  const fits = (!filter.stream || filter.stream === changed.stream) && (!filter.label || filter.label === changed.label);
  return fits && (!filter.day || filter.day === dayOf(changed)) ? [changed, ...events] : events;
}

// Returns the day of an event where the reader is, which mostly is that of the node.
function dayOf(event) {
  const date = new Date(event.started);
  return [date.getFullYear(), date.getMonth() + 1, date.getDate()].map((part) => String(part).padStart(2, "0")).join("-");
}

function Usage({ days }) {
  if (!days) return null;
  const values = { used: megabytes(days.bytes), quota: megabytes(days.quota_bytes) };
  return html`<small class="muted">${t("history_usage", values)}</small>`;
}

function Filter({ days, filter, choose }) {
  const options = (values, name) => [html`<option value="" key="">${t("all")}</option>`,
    ...values.map((value) => html`<option value=${value} key=${value}>${name(value)}</option>`)];
  const select = (part, values, name) => html`<${Field} label=${t(part)}>
    <select value=${filter[part]} onChange=${(event) => choose({ [part]: event.target.value })}>${options(values, name)}</select>
  <//>`;
  const counts = Object.fromEntries(days.days.map(({ day, events }) => [day, events]));
  return html`<form class="row filter" onSubmit=${(event) => event.preventDefault()}>
    ${select("day", Object.keys(counts), (day) => `${dayText(day)} (${counts[day]})`)}
    ${select("stream", days.streams, streamName)} ${select("label", days.labels, labelName)}
  </form>`;
}

function ByDay({ events }) {
  return html`${[...grouped(events)].map(([day, ofDay]) => html`<section key=${day} aria-label=${dayText(day)}>
    <h2 class="day">${dayText(day)}</h2>
    <ul class="events">${ofDay.map((event) => html`<${EventCard} event=${event} key=${event.id} />`)}</ul>
  </section>`)}`;
}

function grouped(events) {
  const days = new Map();
  for (const event of events) days.set(dayOf(event), [...(days.get(dayOf(event)) ?? []), event]);
  return days;
}

function EventCard({ event }) {
  const lasts = event.ended === null ? t("going_on") : seconds((Date.parse(event.ended) - Date.parse(event.started)) / 1000);
  return html`<li><a class="event" href=${`#events/${encodeURIComponent(event.id)}`}>
    ${event.snapshot
      ? html`<img src=${address("events", event.id, "snapshot.jpg")} alt="" loading="lazy" decoding="async" />`
      : html`<span class="no-picture"><${Icon} name="audio" /></span>`}
    <span class="caption">
      <b>${labelName(event.label)}</b><span class="figure">${percent(event.peak)}</span>
      <small>${clock(event.started)} · ${streamName(event.stream)} · ${lasts}</small>
      <span class="row"><${Marks} event=${event} /></span>
    </span>
  </a></li>`;
}
