// The latest lines of the log.

import { html, useEffect, useState } from "../vendor/standalone.module.js";
import { get, withQuery } from "./api.js";
import { clock, t } from "./language.js";
import { Card } from "./parts.js";

const EVERY_MS = 3_000;
const MAX_LINES = 500;

export function Log() {
  const [lines, set] = useState([]);
  const [isOpen, open] = useState(false);
  useEffect(() => {
    if (!isOpen) return undefined;
    let after = 0;
    let timer = 0;
    let isGone = false;
    const read = async () => {
      if (!document.hidden) {
        try {
          const { lines: more } = await get(withQuery("api/log", { after }));
          if (isGone) return;
          if (more.length > 0) {
            const isFirst = after === 0;
            after = more.at(-1).number;
            set((before) => [...(isFirst ? [] : before), ...more].slice(-MAX_LINES));
          }
        } catch {
          // the page says that the daemon is away
        }
      }
      if (!isGone) timer = setTimeout(read, EVERY_MS);
    };
    read();
    return () => {
      isGone = true;
      clearTimeout(timer);
    };
  }, [isOpen]);
  return html`<${Card} title=${t("log")} extra=${html`<button type="button" class="quiet" aria-expanded=${isOpen ? "true" : "false"} onClick=${() => open(!isOpen)}>
      ${t(isOpen ? "log_hide" : "log_show")}</button>`}>
    ${isOpen && html`<ol class="log scroll" tabindex="0" aria-label=${t("log")}>
      ${[...lines].reverse().map((line) => html`<li class=${String(line.level).toLowerCase()} key=${line.number}>
        <time>${clock(line.time)}</time> <b>${line.level}</b> <i>${line.module}</i> <span>${line.text}</span></li>`)}
    </ol>`}
  <//>`;
}
