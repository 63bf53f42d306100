// The config of the node, with its errors at their lines. It is changed here only where its file is writable.

import { html, useEffect, useRef, useState } from "../vendor/standalone.module.js";
import { Refused, get, post } from "./api.js";
import { refresh } from "./follow.js";
import { t } from "./language.js";
import { Ask, Card, Said, reasonOf, useAction, useRead } from "./parts.js";

export function Config() {
  const read = useRead(() => get("api/config"), []);
  if (read.value === null) return read.error && html`<${Card} title=${t("config")}><p class="muted">${reasonOf(read.error)}</p><//>`;
  return html`<${Card} title=${t("config")}>
    <p class="muted">${t(read.value.writable ? "config_writable" : "config_read_only", { path: read.value.path })}</p>
    <${Editor} config=${read.value} again=${read.again} key=${read.value.text} />
  <//>`;
}

function Editor({ config, again }) {
  const [text, setText] = useState(config.text);
  const [problems, setProblems] = useState(config.problems ?? []);
  const [isAsking, ask] = useState(false);
  const [said, run, isBusy] = useAction();
  const area = useRef(null);
  // a refusal of 422 tells the problems, which stand at their lines
  const send = (action) => run(async () => {
    try {
      return await action();
    } catch (error) {
      if (!error.answer?.problems) throw error;
      setProblems(error.answer.problems);
      throw new Refused(error.status, t("config_problems", { n: error.answer.problems.length }));
    }
  });
  const check = () => send(async () => {
    await post("api/config", { text });
    setProblems([]);
    ask(true);
    return t("config_good");
  });
  const write = () => send(async () => {
    const { backup } = await post("api/config", { text, confirm: true, tag: config.tag });
    await post("api/reload");
    await refresh();
    again();
    return backup ? t("config_written_backup", { backup }) : t("config_written");
  });
  const reload = () => run(async () => {
    await post("api/reload");
    return t("reloaded");
  });
  return html`${problems.length > 0 && html`<ul class="problems">${problems.map(({ line, text: words }, index) => html`<li key=${index}>
      ${line ? html`<button type="button" class="quiet" onClick=${() => goTo(area.current, line)}>${t("line", { n: line })}</button>` : ""} <span>${words}</span></li>`)}</ul>`}
    <${Lines} text=${text} problems=${problems} area=${area} isWritable=${config.writable} onText=${setText} />
    <div class="row">
      ${config.writable && html`<button type="button" class="primary" disabled=${isBusy || text === config.text} onClick=${check}>${t("config_check")}</button>`}
      <button type="button" disabled=${isBusy} onClick=${reload}>${t("reload")}</button>
    </div>
    <${Said} ...${said} />
    ${isAsking && html`<${Ask} title=${t("config_write")} text=${t("config_write_text")} yes=${t("config_write")} isDanger=${false} onYes=${write} onClose=${() => ask(false)} />`}`;
}

// Moves the cursor to a line.
function goTo(area, line) {
  const before = area.value.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  const end = area.value.indexOf("\n", before);
  area.focus();
  area.setSelectionRange(before, end < 0 ? area.value.length : end);
  area.scrollTop = (line - 3) * parseFloat(getComputedStyle(area).lineHeight);
  area.dispatchEvent(new Event("scroll"));
}

// The text with numbers of its lines; those with a problem are marked.
function Lines({ text, problems, area, isWritable, onText }) {
  const numbers = useRef(null);
  const wrong = new Set(problems.map(({ line }) => line));
  useEffect(() => {
    const scrolled = () => (numbers.current.scrollTop = area.current.scrollTop);
    area.current.addEventListener("scroll", scrolled);
    return () => area.current?.removeEventListener("scroll", scrolled);
  }, []);
  return html`<div class="editor">
    <ol class="numbers" ref=${numbers} aria-hidden="true">${text.split("\n").map((_, index) => html`<li class=${wrong.has(index + 1) ? "wrong" : ""} key=${index}>${index + 1}</li>`)}</ol>
    <textarea ref=${area} aria-label=${t("config")} spellcheck=${false} autocapitalize="off" wrap="off" readonly=${!isWritable} value=${text}
      onInput=${(event) => onText(event.target.value)}></textarea>
  </div>`;
}
