// Small parts that several views use.

import { html, useEffect, useRef, useState } from "../vendor/standalone.module.js";
import { t } from "./language.js";

const PATHS = {
  now: "M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12Zm10 3a3 3 0 1 0 0-6 3 3 0 0 0 0 6Z",
  events: "M4 5h16v14H4zM10 9.500v5l4.500-2.500zM4 8h2M4 12h2M4 16h2M18 8h2M18 12h2M18 16h2",
  teach: "m3 9 9-4 9 4-9 4zM7 11v5c2 2 8 2 10 0v-5M21 9v6",
  device: "M7 4h10v16H7zM10 17h4M4 8h3M4 12h3M4 16h3M17 8h3M17 12h3M17 16h3",
  image: "M4 7h4l2-2h4l2 2h4v12H4zM12 16a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7Z",
  audio: "M4 10v4M8 7v10M12 4v16M16 7v10M20 10v4",
  text: "M5 6h14M12 6v13",
  pin: "M9 4h6l-1 6 3 3H7l3-3zM12 13v7",
};

// Draws an icon. It is an ornament: a name stands beside it, or the element around it has one.
export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d=${PATHS[name]} /></svg>`;
}

// Draws a text that says how an action ended; screen readers read it once it changes.
export function Said({ text, isBad = false }) {
  return html`<p class=${text ? (isBad ? "said bad" : "said") : "said empty"} role="status">${text}</p>`;
}

// Returns the text of an error of `api.js`.
export function reasonOf(error) {
  return error.message || t("page_down");
}

// Returns [said, run, isBusy]: `run(action)` performs an action once at a time and says how it ended.
// The action returns what to say, or null.
export function useAction() {
  const [said, say] = useState({ text: "", isBad: false });
  const [isBusy, setBusy] = useState(false);
  const busy = useRef(false);
  const run = async (action) => {
    if (busy.current) return false;
    busy.current = true;
    setBusy(true);
    say({ text: "", isBad: false });
    let isDone = false;
    try {
      say({ text: (await action()) ?? "", isBad: false });
      isDone = true;
    } catch (error) {
      say({ text: reasonOf(error), isBad: true });
    }
    busy.current = false;
    setBusy(false);
    return isDone;
  };
  return [said, run, isBusy];
}

// Asks before something that cannot be undone. Escape and "cancel" close it; `children` may hold more to fill in.
export function Ask({ title, text, yes, onYes, onClose, children, isDanger = true }) {
  const dialog = useRef(null);
  useEffect(() => {
    dialog.current.showModal();
  }, []);
  const agree = () => {
    dialog.current.close();
    onYes();
  };
  return html`<dialog ref=${dialog} class="ask" aria-labelledby="ask-title" onClose=${onClose}>
    <h2 id="ask-title">${title}</h2>
    ${text && html`<p>${text}</p>`} ${children}
    <div class="row end">
      <button type="button" onClick=${() => dialog.current.close()}>${t("cancel")}</button>
      <button type="button" class=${isDanger ? "danger" : "primary"} onClick=${agree}>${yes}</button>
    </div>
  </dialog>`;
}

// A field with its label above.
export function Field({ label, hint, children }) {
  return html`<label class="field"><span>${label}</span>${children}${hint && html`<small>${hint}</small>`}</label>`;
}

// A section of a view with its heading.
export function Card({ title, extra, children, kind = "" }) {
  return html`<section class=${`card ${kind}`} aria-label=${title}>
    <header class="row spread"><h2>${title}</h2>${extra}</header>
    ${children}
  </section>`;
}

// A short state such as "healthy" in a colour. The word alone says it too.
export function Pill({ level, children }) {
  return html`<span class=${`pill ${level}`}>${children}</span>`;
}

// Returns the value of an asynchronous read, {value, error, again}. It is read anew when a dependency changes.
export function useRead(read, dependencies) {
  const [state, set] = useState({ value: null, error: null });
  const [count, recount] = useState(0);
  useEffect(() => {
    let isGone = false;
    read().then(
      (value) => isGone || set({ value, error: null }),
      (error) => isGone || set((before) => ({ value: before.value, error })),
    );
    return () => {
      isGone = true;
    };
  }, [...dependencies, count]);
  return { ...state, again: () => recount((before) => before + 1) };
}
