// The page: its head, the way between the views, and the one that is shown.

import { html, render, useEffect, useRef, useState } from "../vendor/standalone.module.js";
import { get, post } from "./api.js";
import { useBox } from "./box.js";
import { Device } from "./device.js";
import { Events } from "./events.js";
import { link, node, start } from "./follow.js";
import { LANGUAGES, choose, language, t } from "./language.js";
import { Login } from "./login.js";
import { Now } from "./now.js";
import { Icon } from "./parts.js";
import { session } from "./session.js";
import { Teach } from "./teach.js";

const VIEWS = { now: Now, events: Events, teach: Teach, device: Device };
const RETRY_MS = 3_000;

// Returns the parts of the address behind `#`, such as ["events", "5d0c…"], decoded.
function place() {
  const parts = location.hash.slice(1).split("/");
  try {
    return parts.map(decodeURIComponent);
  } catch {
    return ["now"];
  }
}

function usePlace() {
  const [here, set] = useState(place());
  useEffect(() => {
    const moved = () => set(place());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return here[0] in VIEWS ? here : ["now"];
}

function Page() {
  const [view, detail] = usePlace();
  const who = useBox(session);
  const shown = useBox(language);
  const main = useRef(null);
  const isFirst = useRef(true);
  useEffect(() => {
    document.title = who?.role ? `${t(view)} – ${node.value?.node ?? "perceptd"}` : "perceptd";
  }, [view, who, shown]);
  useEffect(() => {
    // a reader of the screen begins at the view that was chosen
    if (!isFirst.current) {
      scrollTo(0, 0);
      main.current?.focus({ preventScroll: true });
    }
    isFirst.current = false;
  }, [view, detail]);
  const View = VIEWS[view];
  return html`<a class="skip" href="#main" onClick=${(event) => skip(event, main)}>${t("skip")}</a>
    <${Head} view=${view} who=${who} />
    <main id="main" tabindex="-1" ref=${main}>
      ${who === null && html`<${Opening} />`} ${who !== null && who.role === null && html`<${Login} />`}
      ${who?.role && html`<${Link} /><${View} detail=${detail} key=${view} />`}
    </main>`;
}

function skip(event, main) {
  event.preventDefault(); // the address behind # names the view
  main.current?.focus();
}

function Head({ view, who }) {
  const described = useBox(node);
  const tag = useBox(language);
  return html`<header class="head">
    <span class="brand"><img src="static/icon.svg" alt="" width="28" height="28" /><b>${described?.node ?? "perceptd"}</b></span>
    ${who?.role && html`<nav aria-label=${t("views")}>
      ${Object.keys(VIEWS).map((name) => html`<a href=${`#${name}`} aria-current=${name === view ? "page" : undefined} key=${name}>
        <${Icon} name=${name} /><span>${t(name)}</span>
      </a>`)}
    </nav>`}
    <span class="row tools">
      <select aria-label=${t("language")} value=${tag} onChange=${(event) => choose(event.target.value)}>
        ${Object.entries(LANGUAGES).map(([each, name]) => html`<option value=${each} lang=${each} key=${each}>${name}</option>`)}
      </select>
      ${who?.role && html`<button type="button" class="quiet" onClick=${logout}>${t("logout")}</button>`}
    </span>
  </header>`;
}

async function logout() {
  try {
    await post("api/logout");
  } finally {
    ask();
  }
}

// Says in words when the daemon or the server of the page is away.
function Link() {
  const { state, reason } = useBox(link);
  const isAway = state !== "live" && state !== "connecting";
  return html`<div role="status" class=${isAway ? "away" : "away empty"}>${isAway && t(state)} ${isAway && html`<small>${reason}</small>`}</div>`;
}

function Opening() {
  const [isAway, set] = useState(false);
  useEffect(() => {
    const timer = setInterval(async () => set(!(await ask())), RETRY_MS);
    return () => clearInterval(timer);
  }, []);
  return html`<p class="opening" role="status">${t(isAway ? "page_down" : "opening")}</p>`;
}

// Asks who this browser is. Returns false when nobody answers.
async function ask() {
  try {
    session.set(await get("api/session"));
  } catch (error) {
    return error.status === 401;
  }
  return true;
}

ask();
start();
render(html`<${Page} />`, document.body);
