// The dashboard: asks the gateway for its figures every few seconds, and shows them.

import * as panels from "./panels.js";
import { at, make } from "./parts.js";
import { forget } from "./plots.js";
import * as story from "./story.js";
import { moment } from "./words.js";

const EVERY_MS = 5000;
const KEY = "autoshift-key", THEME = "autoshift-theme";
const THEMES = ["auto", "light", "dark"];
let live = true, timer = null, asked = 0, shown = null;

async function fetchJson(path) {
  const key = sessionStorage.getItem(KEY);
  const reply = await fetch(path, { headers: key ? { authorization: `Bearer ${key}` } : {}, credentials: "omit" });
  const body = await reply.json().catch(() => null);
  if (reply.ok && body) return body;
  const failure = new Error(body?.error?.message ?? `the gateway answers ${reply.status}`);
  failure.status = reply.status;
  throw failure;
}

async function refresh() {
  clearTimeout(timer);
  const number = (asked += 1);
  const query = new URLSearchParams();
  if (at("since").value) query.set("since", at("since").value);
  if (at("tenant").value) query.set("tenant", at("tenant").value);
  if (at("baseline").value) query.set("baseline", at("baseline").value);
  try {
    const figures = await fetchJson(`v1/dashboard?${query}`);
    if (number !== asked) return;
    at("ask-key").hidden = true;
    trouble(null);
    shown = figures;
    show();
    at("updated").textContent = `As of ${moment(figures.now_s)}.`;
  } catch (failure) {
    if (number !== asked) return;
    if (failure.status === 401 || failure.status === 403) askKey(failure);
    else trouble(`The figures could not be had: ${failure.message}. Trying again.`);
  }
  if (live && at("ask-key").hidden && !document.hidden) timer = setTimeout(refresh, EVERY_MS);
}

function show() {
  const { report, tenant, policy, version, mode } = shown;
  at("about").textContent = `policy ${policy}, version ${version}, ${tenant === "*" ? "all tenants" : `tenant ${tenant}`}`;
  at("mode").hidden = mode.name === "route";
  at("mode").textContent = mode.name === "canary" ? `canary: ${mode.tier} answers the rest` : `shadow: ${mode.tier} answers`;
  at("simulated").hidden = !report.simulated;
  offer(report);
  if (shown.tenants) offerTenants(shown);
  const empty = report.counts.all + report.counts.trials === 0;
  at("nothing").hidden = !empty;
  at("figures").hidden = empty;
  if (!empty) panels.show(shown, (one) => story.show(one, fetchJson, report.tiers));
}

// The tiers to compare with, and by whom requests can be told apart.
function offer({ tiers, baseline, by_tenant: tenants }) {
  const select = at("baseline");
  if (select.options.length !== tiers.length) {
    select.replaceChildren(...tiers.map((tier) => make("option", { value: tier }, `always ${tier}`)));
    select.value = baseline ?? "";
  }
  if (tenants && !at("by").querySelector("[value=tenant]")) at("by").append(make("option", { value: "tenant" }, "tenant"));
}

// Only admins are told whom there is.
function offerTenants({ tenant, tenants }) {
  const select = at("tenant"), known = ["*", ...tenants];
  at("tenants").hidden = tenants.length < 2 && tenant !== "*";
  if (select.options.length === known.length) return;
  select.replaceChildren(...known.map((name) => make("option", { value: name }, name === "*" ? "all" : name)));
  select.value = tenant;
}

function trouble(text) {
  at("trouble").hidden = text === null;
  at("trouble").textContent = text ?? "";
}

function askKey({ message }) {
  const known = sessionStorage.getItem(KEY);
  sessionStorage.removeItem(KEY);
  at("figures").hidden = at("nothing").hidden = true;
  at("ask-key").hidden = false;
  trouble(known ? `That key does not open it: ${message}` : null);
  at("key").focus();
}

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  sessionStorage.setItem(THEME, theme === "auto" ? "" : theme);
  at("theme").textContent = `Theme: ${theme}`;
  redraw();
}

function redraw() {
  forget();
  if (shown) show();
}

at("since").addEventListener("change", refresh);
at("baseline").addEventListener("change", refresh);
at("tenant").addEventListener("change", refresh);
for (const id of ["by", "kind"]) at(id).addEventListener("change", () => shown && show());
at("more").addEventListener("click", () => {
  panels.showMore();
  show();
});
at("controls").addEventListener("submit", (event) => event.preventDefault());
at("live").addEventListener("click", () => {
  live = !live;
  at("live").setAttribute("aria-pressed", String(live));
  at("live").textContent = live ? "Live" : "Paused";
  if (live) refresh();
  else clearTimeout(timer);
});
at("theme").addEventListener("click", () => {
  const now = document.documentElement.dataset.theme ?? "auto";
  setTheme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
});
at("ask-key").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, at("key").value.trim());
  at("key").value = "";
  refresh();
});
// Nobody looks at a hidden tab, so it asks for nothing.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && live && at("ask-key").hidden) refresh();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
at("theme").textContent = `Theme: ${document.documentElement.dataset.theme ?? "auto"}`;
at("example").textContent = `curl ${new URL("v1/chat/completions", document.baseURI)} \\
  -H 'content-type: application/json' \\
  -d '{"model": "auto", "messages": [{"role": "user", "content": "What is 17 + 25?"}]}'`;
refresh();
