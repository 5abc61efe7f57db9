// Each panel of the page, from the gateway's figures.

import { at, legend, lengthBar, make, number, replace, shareBar, swatch, table } from "./parts.js";
import * as plots from "./plots.js";
import * as words from "./words.js";

const STATES = {
  pays: ["routing pays", "good"], fixed: ["a fixed tier is better", "bad"],
  even: ["no sure difference", ""], unknown: ["not enough evidence", ""],
};
const PURPOSES = { answer: "--p0", draft: "--p1", judge: "--p2", lesson: "--p3" };
const PURPOSE_NAMES = { answer: "answers served", draft: "answers not served", judge: "judging", lesson: "lessons" };
const SOURCES = {
  feedback: "feedback", check: "exact checks", arbiter: "an arbiter",
  comparison: "audits beside another tier", judge: "judges, errors corrected",
};
const ours = "this gateway";
const FEW = 15;
let most = FEW;

export function showMore() {
  most = most === FEW ? Infinity : FEW;
}

const tierColour = (tiers, tier) => `--c${tiers.indexOf(tier) % 6}`;

export function show(figures, open) {
  const { report, timeline } = figures;
  verdict(report);
  tiles(report);
  mix(report, timeline);
  cost(report, timeline);
  accuracy(report, timeline);
  picture(report);
  calibration(report.tiers, figures.calibration);
  judges(report.tiers, figures.judges);
  latency(figures.latency);
  sources(report);
  groups(report);
  newest(figures.newest, report.tiers, open);
}

function verdict({ state, sentence, saving_sentence: saving, alarms, simulated, since_s: since, complete_since_s: forgotten }) {
  const cut = sentence.indexOf(": "), opening = sentence.slice(0, cut);
  at("state").textContent = simulated ? `${opening} (simulated)` : opening;
  at("state").className = `badge ${STATES[state][1]}`;
  at("sentence").textContent = `${sentence.slice(cut + 2)}.`;
  at("saving").textContent = `${saving[0].toUpperCase()}${saving.slice(1)}.`;
  at("forgotten").hidden = forgotten === null || (since ?? 0) > forgotten;
  at("forgotten").textContent = forgotten === null ? "" : `Counts, costs and plots are of the newest requests, since ${words.moment(forgotten)}: older ones are no longer kept here.`;
  replace("alarms", ...alarms.map((alarm) => make("li", {}, `${alarm.sentence} (since ${words.moment(alarm.since_s)})`)));
}

function tiles({ counts, spend, savings, baseline, served }) {
  const failed = counts.failed + counts.abandoned;
  tile("requests", words.count(counts.all), [`${words.count(counts.routed)} routed, ${words.count(counts.pinned)} pinned`,
    counts.trials ? `${words.count(counts.trials)} tried beside them` : null,
    failed ? `${words.count(counts.failed)} failed, ${words.count(counts.abandoned)} left` : null,
    counts.degraded ? `${words.count(counts.degraded)} degraded` : null]);
  const unknown = spend.requests_of_unknown_cost;
  tile("spent", words.usd(spend.usd), [Object.entries(spend.by_purpose_usd).map(([purpose, usd]) => `${purpose} ${words.usd(usd)}`).join(", "),
    unknown ? `the cost of ${words.count(unknown)} is unknown` : null]);
  at("saved-name").textContent = `Saved, against always ${baseline}`;
  const { saved_usd_per_1000: saved, saved: share } = savings[baseline] ?? {};
  if (saved?.value === null || saved === undefined) tile("saved", "not known yet", [saved?.why ?? "no request was routed"], true);
  else tile("saved", share.value === null ? words.usd(saved.value) : words.share(share.value),
    [`${words.usd(saved.value)} per 1,000 requests [${words.interval(saved, words.usd)}]`]);
  const figure = served?.accuracy;
  if (!figure || figure.value === null) tile("accuracy", "not enough evidence", [figure ? words.evidence(figure.n_eff) : "no request was routed"], true);
  else tile("accuracy", words.accuracy(figure.value), [`95 % interval ${words.interval(figure, words.accuracy)}, effective sample ${words.count(figure.n_eff)}`]);
}

function tile(id, text, more, unknown = false) {
  at(id).textContent = text;
  at(id).classList.toggle("unknown", unknown);
  at(`${id}-more`).textContent = more.filter(Boolean).join("; ");
}

function mix({ tiers, counts }, { starts_s: starts, step_s: step, served_by: served, pinned }) {
  const answered = Object.values(counts.served_by).reduce((sum, each) => sum + each, 0);
  const entries = tiers.map((tier) => ({ tier, colour: tierColour(tiers, tier), count: counts.served_by[tier] }));
  const part = (count) => (answered ? words.share(count / answered) : "–");
  legend("mix", [...entries.map(({ tier, colour, count }) => ({ colour, text: `${tier} ${words.count(count)} (${part(count)})` })),
    { colour: "--none", text: `pinned ${words.count(counts.pinned)}` }]);
  const bar = at("mix-bar");
  bar.setAttribute("aria-label", `Routed requests: ${entries.map(({ tier, count }) => `${tier} ${part(count)}`).join(", ")}`);
  bar.replaceChildren(...entries.filter(({ count }) => count).map(({ tier, colour, count }) => {
    const piece = make("span", { title: `${tier} ${part(count)}` });
    piece.style.flexGrow = count;
    piece.style.background = `var(${colour})`;
    return piece;
  }));
  const series = [...tiers.map((tier) => ({ name: tier, colour: tierColour(tiers, tier), values: served[tier] })),
    { name: "pinned", colour: "--none", values: pinned }];
  if (starts.length) plots.stacked(at("mix-plot"), { starts, step, series, show: words.count });
  overTime("mix-table", "Requests by who answered", starts, series.map(({ name, values }) => [name, values.map(words.count)]));
}

function cost({ spend }, { starts_s: starts, step_s: step, usd }) {
  const purposes = Object.keys(usd);
  legend("cost", purposes.map((purpose) => ({ colour: PURPOSES[purpose] ?? "--none", text: `${PURPOSE_NAMES[purpose] ?? purpose}` })));
  const series = purposes.map((purpose) => ({ name: PURPOSE_NAMES[purpose] ?? purpose, colour: PURPOSES[purpose] ?? "--none", values: usd[purpose] }));
  if (starts.length) plots.stacked(at("cost-plot"), { starts, step, series, show: words.usd });
  overTime("cost-table", "Cost of routed requests by purpose", starts, series.map(({ name, values }) => [name, values.map(words.usd)]));
}

function accuracy({ tiers, fixed, baseline }, { starts_s: starts, step_s: step, accuracy: figures }) {
  const known = figures.some(({ value }) => value !== null);
  at("accuracy-note").hidden = known;
  at("accuracy-plot").hidden = !known;
  const last = figures[figures.length - 1];
  at("accuracy-note").textContent = `Not enough evidence yet${last ? `: ${words.evidence(last.n_eff)}` : ""}.`;
  const beside = fixed[baseline]?.accuracy.value;
  const references = typeof beside === "number" ? [{ name: `always ${baseline}`, value: Math.min(1, beside), colour: tierColour(tiers, baseline) }] : [];
  if (known) plots.banded(at("accuracy-plot"), { starts, step, figures, show: words.accuracy, references });
  overTime("accuracy-table", "Accuracy of what was served", starts, [
    ["accuracy", figures.map(({ value }) => words.accuracy(value))],
    ["95 % interval", figures.map((figure) => (figure.value === null ? "–" : words.interval(figure, words.accuracy)))],
    ["effective sample", figures.map(({ n_eff: nEff }) => words.count(nEff))],
  ]);
}

function overTime(id, caption, starts, columns) {
  const rows = starts.map((start, index) => ({ cells: [words.moment(start), ...columns.map(([, values]) => values[index])] })).reverse();
  replace(id, table(caption, ["from", ...columns.map(([name]) => number(name))], rows));
}

function picture({ tiers, fixed, served, hull }) {
  const ways = [...Object.entries(fixed).map(([tier, way]) => ({ name: tier, colour: tierColour(tiers, tier), ...way })),
    ...(served ? [{ name: ours, colour: "--ink", ours: true, ...served }] : [])].map(({ usd_per_1000: usd, ...way }) => ({ ...way, usd }));
  const points = ways.filter(({ usd, accuracy: figure }) => usd.value !== null && figure.value !== null);
  const missing = ways.filter((way) => !points.includes(way));
  at("picture-plot").hidden = !points.length;
  at("picture-note").hidden = !missing.length;
  at("picture-note").textContent = `Not drawn, since not enough is known: ${missing.map(({ name, usd, accuracy: figure }) => `${name} (${figure.why ?? usd.why})`).join("; ")}.`;
  if (points.length) plots.picture(at("picture-plot"), { points, hull });
  const rows = ways.map(({ name, usd, accuracy: figure, ours: mine }) => ({ cells: [mine ? name : `always ${name}`,
    words.usd(usd.value), usd.value === null ? "–" : words.interval(usd, words.usd),
    words.accuracy(figure.value), figure.value === null ? "–" : words.interval(figure, words.accuracy), words.count(figure.n_eff)] }));
  replace("picture-table", table("Cost and accuracy", ["who answers", number("$ per 1,000"), number("95 % interval"), number("accuracy"), number("95 % interval"), number("effective sample")], rows));
}

function calibration(tiers, figures) {
  const place = at("calibration");
  if (place.children.length !== tiers.length) {
    place.replaceChildren(...tiers.map((tier) => make("figure", {}, make("h3", {}, swatch(tierColour(tiers, tier)), tier),
      make("p", { class: "quiet" }), make("div", { class: "plot" }),
      make("details", {}, make("summary", {}, "As a table"), make("div", { class: "scroll" })))));
  }
  tiers.forEach((tier, index) => {
    const [, said, plot, { lastElementChild: rows }] = place.children[index].children, one = figures[tier];
    plot.hidden = !one.enough;
    said.className = one.enough ? "quiet" : "unsure";
    said.textContent = one.enough
      ? `Brier score ${one.brier.toFixed(3)}, expected calibration error ${one.ece.toFixed(3)}, effective sample ${words.count(one.n_eff)}`
      : `Not enough evidence yet: ${words.evidence(one.n_eff)}.`;
    if (one.enough) plots.calibration(plot, { bins: one.bins, colour: tierColour(tiers, tier) });
    rows.replaceChildren(table(`Calibration of ${tier}`, [number("believed"), number("found"), number("95 % interval"), number("effective sample")],
      one.bins.map((bin) => ({ cells: [words.accuracy(bin.believed), words.accuracy(bin.found), words.interval(bin, words.accuracy), words.count(bin.n_eff)] }))));
  });
}

function judges(tiers, figures) {
  const rows = tiers.flatMap((tier) => [["right", "accepts_right"], ["wrong", "accepts_wrong"]].map(([kind, name]) => {
    const one = figures[tier][name];
    if (one.value === null) return { cells: [tier, kind, "", { text: "none seen yet", unsure: true }, ""] };
    const said = `${words.share(one.value)} (${words.interval(one, words.share)})`;
    return { cells: [tier, kind, shareBar(one), said, one.enough ? words.count(one.n_eff) : { text: `${words.count(one.n_eff)}: too few to be sure`, unsure: true }] };
  }));
  replace("judges", table("How often answers are accepted", ["answers of", "that are", "accepted, 0 to 1", number("share, 95 % interval"), number("of so many")], rows));
}

function latency(figures) {
  const most = Math.max(...Object.values(figures).map(({ p99_s: p99 }) => p99 ?? 0), 1e-9);
  const rows = Object.entries(figures).map(([phase, { count, p50_s: p50, p95_s: p95, p99_s: p99 }]) => ({ cells: [phase,
    count ? lengthBar(p50 / most, p95 / most) : "", ...[p50, p95, p99].map((cut) => (count ? words.seconds(cut) : "–")), words.count(count)] }));
  replace("latency", table("Latency by phase", ["phase", "median, and 95 of 100", number("p50"), number("p95"), number("p99"), number("requests")], rows));
}

function sources({ accuracy_from: from }) {
  const rows = Object.entries(from).map(([source, { labels, weight, mean, unused }]) => ({ cells: [SOURCES[source] ?? source,
    lengthBar(weight, 0), words.share(weight), words.count(labels), mean === null ? "–" : words.accuracy(mean), words.count(unused)] }));
  replace("sources", table("Where the accuracy comes from", ["source", "weight", number("share"), number("labels"), number("their mean"), number("on others, unused")], rows));
}

function groups(report) {
  const by = at("by").value, found = report[`by_${by}`] ?? [], beside = report.baseline;
  const rows = found.map(({ name, requests, served, against, state }) => {
    const { accuracy: figure, usd_per_1000: usd } = served;
    return { harm: against.harm, cells: [name ?? `no ${by}`, words.count(requests),
      figure.value === null ? { text: figure.n_eff ? words.evidence(figure.n_eff) : "none can be compared", unsure: true } : `${words.accuracy(figure.value)} [${words.interval(figure, words.accuracy)}]`,
      against.accuracy.value === null ? "–" : `${words.points(against.accuracy)}${against.harm ? " — worse" : ""}`,
      usd.value === null ? "–" : words.usd(usd.value), against.saved.value === null ? "–" : words.share(against.saved.value), STATES[state][0]] };
  });
  replace("groups", table(`By ${by}`, [by, number("requests"), number("accuracy served"), number(`beside always ${beside}`), number("$ per 1,000"), number(`saved against ${beside}`), "verdict"], rows));
}

function newest(all, tiers, open) {
  const kind = at("kind").value, wanted = all.filter((one) => !kind || one.kind === kind);
  at("more").hidden = wanted.length <= FEW;
  at("more").textContent = most === FEW ? `Show all ${wanted.length}` : "Show fewer";
  const rows = wanted.slice(0, most).map((one) => {
    const when = make("button", { type: "button", "data-focus": one.id, "aria-haspopup": "dialog", "aria-label": `Decision at ${words.clock(one.time_s)}, ${one.served ?? one.outcome}`, on: { click: () => open(one) } }, words.clock(one.time_s));
    const by = one.served ? make("span", {}, swatch(tierColour(tiers, one.served)), one.served) : one.outcome;
    const notes = [one.kind === "pinned" ? "pinned" : null, one.trial ? "only tried" : null, one.attempts > 1 ? `${one.attempts} asked, ${one.first} first` : null,
      one.verified ? "verified" : null, one.degraded ? "degraded" : null].filter(Boolean).join(", ");
    const label = one.label === null ? "–" : `${words.share(Math.min(1, Math.max(0, one.label)))} (${one.source})`;
    return { cells: [when, by, notes, one.task ?? "–", words.usd(one.usd), words.seconds(one.seconds), label, ...(one.tenant ? [one.tenant] : [])] };
  });
  const heads = ["when", "answered by", "on the way", "task", number("cost"), number("took"), number("found right"), ...(all[0]?.tenant ? ["tenant"] : [])];
  const none = make("p", { class: "quiet" }, `No ${kind || ""} request in this time.`);
  replace("newest", !rows.length ? none : table("Recent decisions", heads, rows));
}
