// One decision, told: what was believed, what was asked, judged and paid, and what came later.

import { at, make, number, swatch, table } from "./parts.js";
import * as words from "./words.js";

export async function show({ id, tenant }, fetchJson, tiers) {
  const body = at("story-body"), dialog = at("story");
  const path = `v1/decisions/${encodeURIComponent(id)}${tenant ? `?tenant=${encodeURIComponent(tenant)}` : ""}`;
  at("story-title").textContent = `Decision ${id}`;
  body.replaceChildren(make("p", { class: "quiet" }, "Asking the gateway…"));
  if (!dialog.open) dialog.showModal();
  try {
    body.replaceChildren(...told(await fetchJson(path), tiers));
  } catch (failure) {
    body.replaceChildren(make("p", { class: "note bad" }, failure.message));
  }
}

function told(decision, tiers) {
  return [
    facts(decision),
    believed(decision, tiers),
    attempts(decision),
    later(decision),
    make("details", {}, make("summary", {}, "Everything that is kept of it"), make("pre", {}, make("code", {}, JSON.stringify(decision, null, 2)))),
  ].filter(Boolean);
}

function facts(decision) {
  const costs = Object.entries(decision.costs_usd ?? {}).filter(([, usd]) => usd !== 0).map(([purpose, usd]) => `${purpose} ${words.usd(usd)}`);
  const said = {
    when: words.moment(decision.time_s),
    outcome: decision.error ? `${decision.outcome}: ${decision.error}` : decision.outcome,
    "answered by": decision.served_tier ?? "nobody",
    "verified by a judge": decision.verified ? "yes" : "no",
    policy: `${decision.policy} (${decision.kind})`,
    took: words.seconds(decision.latency_s),
    cost: `${words.usd(decision.cost_usd)}${costs.length ? ` (${costs.join(", ")})` : ""}`,
    task: decision.task,
    degraded: decision.degraded?.length ? decision.degraded.join(", ") : null,
    phases: Object.entries(decision.phases_s ?? {}).map(([phase, spent]) => `${phase} ${words.seconds(spent)}`).join(", "),
    question: decision.text,
  };
  const shown = Object.entries(said).filter(([, value]) => value);
  return make("dl", { class: "facts" }, ...shown.map(([name, value]) => make("div", {}, make("dt", { class: "quiet" }, name), make("dd", {}, value))));
}

function believed({ start, ladder, eligible, lessons }, tiers) {
  if (!start || !Object.keys(start.estimates).length) return null;
  const rows = ladder.filter((tier) => start.estimates[tier]).map((tier) => {
    const { accuracy, prior, weight_right: right, weight_wrong: wrong } = start.estimates[tier];
    const weight = right + wrong;
    return { cells: [
      make("span", {}, swatch(`--c${tiers.indexOf(tier) % 6}`), tier === start.tier ? `${tier} (asked first)` : tier),
      words.accuracy(accuracy), words.accuracy(prior), weight.toFixed(1), weight ? words.share(right / weight) : "–",
      eligible.includes(tier) ? "yes" : "no",
    ] };
  });
  const heads = ["tier", number("believed accuracy"), number("prior"), number("evidence"), number("of it right"), "could serve it"];
  const nearest = start.top_similarity === null ? "" : `, the nearest at a similarity of ${start.top_similarity.toFixed(2)}`;
  const trade = start.trade?.quality_per_usd ? ` One more dollar had to buy ${words.share(start.trade.quality_per_usd)} of accuracy.` : "";
  const coins = lessons?.drawn?.length ? ` Coins chose it to teach about ${lessons.drawn.join(", ")}.` : "";
  return make("section", {}, make("h3", {}, "What was believed before anything was asked"),
    make("p", { class: "quiet" }, `From ${start.neighbours} similar requests${nearest}.${trade}${coins}`),
    rows.length ? make("div", { class: "scroll" }, table("What was believed", heads, rows)) : null);
}

function attempts({ attempts: all, served }) {
  if (!all?.length) return null;
  const rows = all.map((attempt, index) => ({ cells: [
    `${index + 1}. ${attempt.tier}${index === served ? " (served)" : ""}`,
    attempt.arrived.replaceAll("_", " "),
    attempt.error ?? attempt.outcome,
    make("span", {}, ...attempt.verdicts.map((verdict) => make("div", {}, judged(verdict)))),
    attempt.usage ? `${words.count(attempt.usage.input_tokens)} + ${words.count(attempt.usage.output_tokens)}` : words.UNKNOWN,
    words.usd(attempt.cost_usd), words.seconds(attempt.first_byte_s), words.seconds(attempt.latency_s),
  ] }));
  const heads = ["asked", "why", "outcome", "verdicts", number("tokens in + out"), number("cost"), number("first byte"), number("took")];
  return make("section", {}, make("h3", {}, "What was asked, in order"), make("div", { class: "scroll" }, table("Attempts", heads, rows)));
}

function judged({ valid, by, against, reason, cost_usd: cost }) {
  const word = valid === null ? "no verdict" : against !== null ? (valid ? "same as" : "differs from") : valid ? "valid" : "refused";
  const other = against === null ? "" : ` attempt ${against + 1}`;
  return `${word}${other}, by ${by}${reason ? `: ${reason}` : ""}${cost ? ` (${words.usd(cost)})` : ""}`;
}

function later({ evidence }) {
  const all = Object.values(evidence ?? {});
  if (!all.length) return null;
  const rows = all.map((one) => ({ cells: [
    one.source, one.by, words.moment(one.time_s),
    one.attempts?.length ? `asked ${one.attempts.map(({ tier }) => tier).join(", ")}` : one.score !== null ? `score ${one.score}` : one.valid === null ? "–" : one.valid ? "right" : "wrong",
    words.usd(one.cost_usd),
  ] }));
  const heads = ["source", "by", "when", "said", number("cost")];
  return make("section", {}, make("h3", {}, "What became known later"), make("div", { class: "scroll" }, table("Evidence", heads, rows)));
}
