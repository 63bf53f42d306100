// The view "Device": whether the node works, what it runs on, and its config.

import { html } from "../vendor/standalone.module.js";
import { useBox } from "./box.js";
import { Config } from "./config.js";
import { Doctor } from "./doctor.js";
import { topics } from "./follow.js";
import { Accelerators, Health } from "./health.js";
import { t } from "./language.js";
import { Log } from "./log.js";
import { Models } from "./models.js";
import { useIsOwner } from "./session.js";

export function Device() {
  const told = useBox(topics);
  const isOwner = useIsOwner();
  return html`<h1>${t("device")}</h1>
    <div class="columns">
      <${Health} health=${told.health} status=${told.status} />
      <${Models} models=${told.models} />
      <${Accelerators} health=${told.health} />
      ${isOwner && html`<${Doctor} />`}
    </div>
    ${isOwner && html`<${Config} /><${Log} />`}`;
}
