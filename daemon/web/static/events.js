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
import { SenseIcons, mainSense } from "./shares.js";

// who has scrolled so far looks at something that must not move
const NEAR_TOP_PX = 80;
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
  const list = useList(filter);
  const days = useRead(() => get("api/days"), [list.newest]);
  const isOff = described !== null && described.history === null;
  return html`<div class="row spread"><h1>${t("events")}</h1><${Usage} days=${days.value} /></div>
    ${question && html`<${Question} question=${question} key=${question.id} />`}
    ${isOff && html`<section class="card"><p>${t("history_off")}</p><pre class="copy">history: {}</pre></section>`}
    ${!isOff && days.value && html`<${Filter} days=${days.value} filter=${filter} choose=${choose} />`}
    ${list.waiting.length > 0 && html`<button type="button" class="primary news" onClick=${list.show}>${t("new_events", { n: list.waiting.length })}</button>`}
    ${list.events.length > 0 && html`<${ByDay} events=${list.events} />`}
    ${!isOff && list.isRead && list.events.length === 0 && html`<p class="empty-view">${t("no_events")}</p>`}
    ${list.error && html`<${Said} text=${reasonOf(list.error)} isBad />`}
    ${list.more && html`<button type="button" class="wide" onClick=${list.next}>${t("more_events")}</button>`}`;
}

// Returns the events that fit the filter: those that were read, and changes as they come.
function useList(filter) {
  const [list, set] = useState({ events: [], waiting: [], more: false, isRead: false, error: null });
  const changed = useBox(kept);
  const read = async (before, events) => {
    try {
      const page = await get(withQuery("api/events", { ...filter, before, limit: 24 }));
      return { events: [...events, ...page.events], waiting: [], more: page.more, isRead: true, error: null };
    } catch (error) {
      return { events, waiting: [], more: false, isRead: true, error };
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
    if (changed !== null && list.isRead) set((before) => withChange(before, changed, filter));
  }, [changed]);
  const next = async () => set(await read(list.events.at(-1).number, list.events));
  const show = () => {
    set((before) => ({ ...before, events: [...before.waiting, ...before.events], waiting: [] }));
    scrollTo(0, 0);
  };
  const newest = Math.max(0, ...[...list.waiting, ...list.events].map(({ number }) => number));
  return { ...list, newest, next, show };
}

// Returns the list with an event that changed: in its place, or first when it is new and fits the filter. New ones wait
// for a button while somebody looks at others further down.
function withChange(list, changed, filter) {
  const isHere = (events) => events.some(({ id }) => id === changed.id);
  const replaced = (events) => events.map((event) => (event.id === changed.id ? changed : event));
  if (isHere(list.events)) return { ...list, events: replaced(list.events) };
  if (isHere(list.waiting)) return { ...list, waiting: replaced(list.waiting) };
  if (!fits(changed, filter)) return list;
  const place = scrollY > NEAR_TOP_PX ? "waiting" : "events";
  return { ...list, [place]: [changed, ...list[place]] };
}

function fits(event, { day, stream, label }) {
  return (!stream || stream === event.stream) && (!label || label === event.label) && (!day || day === dayOf(event));
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
      : html`<span class="no-picture"><${Icon} name=${mainSense(event.shares)} /></span>`}
    <span class="caption">
      <b>${labelName(event.label)}</b><span class="figure"><${SenseIcons} shares=${event.shares} /> ${percent(event.peak)}</span>
      <small>${clock(event.started)} · ${streamName(event.stream)} · ${lasts}</small>
      <span class="row"><${Marks} event=${event} /></span>
    </span>
  </a></li>`;
}
