// The login: by password, or where there is none yet by a link that the device prints.

import { html, useState } from "../vendor/standalone.module.js";
import { get, post } from "./api.js";
import { useBox } from "./box.js";
import { t } from "./language.js";
import { Field, Said, useAction } from "./parts.js";
import { session } from "./session.js";

export function Login() {
  const who = useBox(session);
  return html`<section class="card login" aria-labelledby="login-title">
    <h1 id="login-title">${t("login_title")}</h1>
    ${who.login === "password" && html`<${PasswordForm} />`}
    <p>${t(who.login === "password" ? "login_or_link" : "login_link")}</p>
    <pre class="copy">perceptd page --link</pre>
  </section>`;
}

function PasswordForm() {
  const [password, set] = useState("");
  const [said, run, isBusy] = useAction();
  const login = async () => {
    await post("api/login", { password });
    session.set(await get("api/session"));
  };
  const submit = (event) => {
    event.preventDefault();
    run(login);
  };
  return html`<form onSubmit=${submit}>
    <${Field} label=${t("password")}>
      <input type="password" autocomplete="current-password" required value=${password} onInput=${(event) => set(event.target.value)} />
    <//>
    <button type="submit" class="primary wide" disabled=${isBusy}>${t("login")}</button>
    <${Said} ...${said} />
  </form>`;
}
