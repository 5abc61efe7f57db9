// The plots, drawn by uPlot on a canvas. Colours are the page's; what is unknown is a gap.

const uPlot = window.uPlot;
const drawn = new Map();
const resized = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const one = drawn.get(target);
    if (one && target.clientWidth) one.plot.setSize({ width: target.clientWidth, height: target.clientHeight });
  }
});

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export function forget() {
  for (const [place, { plot }] of drawn) {
    resized.unobserve(place);
    plot.destroy();
  }
  drawn.clear();
}

// Steps over time, one on top of the other. `series`: {name, colour, values}.
export function stacked(place, { starts, step, series, show }) {
  const tops = [];
  series.reduce((below, { values }) => {
    const top = values.map((value, index) => value + (below?.[index] ?? 0));
    tops.unshift(top);
    return top;
  }, null);
  const held = {
    tip: (index) => [when(starts[index], step), ...series.map(({ name, values }) => `${name}  ${show(values[index])}`).reverse()].join("\n"),
    edges: [starts[0], starts[starts.length - 1] + step],
  };
  const bars = uPlot.paths.bars({ size: [0.86, 46], gap: 0 });
  draw(place, held, ["stacked", ...series.map(({ name }) => name)], [starts.map((start) => start + step / 2), ...tops], () => ({
    scales: { x: { time: false, range: () => held.edges }, y: { range: (_, __, most) => [0, Math.max(most, 1e-12) * 1.05] } },
    series: [{}, ...[...series].reverse().map(({ name, colour: c }) => ({
      label: name, paths: bars, fill: colour(c), stroke: colour(c), width: 0, points: { show: false },
    }))],
    axes: [timeAxis(step), axis({ values: (_, splits) => splits.map(show), size: 62 })],
  }));
}

// A line with its interval, over time; null is a gap. `reference`: {name, value, colour} across.
export function banded(place, { starts, step, figures, show, references }) {
  const held = {
    tip: (index) => {
      const { value, low, high, n_eff: nEff } = figures[index];
      const said = value === null ? `effective sample ${Math.floor(nEff)} of 50` : `${show(value)}  (${show(low)} to ${show(high)})`;
      return `${when(starts[index], step)}\n${said}`;
    },
    edges: [starts[0], starts[starts.length - 1] + step],
    floor: Math.max(0, Math.min(...[...figures.map((f) => f.low ?? 1), ...references.map((r) => r.value)]) - 0.05),
    references,
  };
  const data = [starts.map((start) => start + step), ...["high", "low", "value"].map((end) => figures.map((figure) => figure[end]))];
  draw(place, held, ["banded", references.map(({ name }) => name)], data, () => ({
    scales: { x: { time: false, range: () => held.edges }, y: { range: () => [held.floor, 1.01] } },
    series: [{}, { stroke: "transparent" }, { stroke: "transparent" }, {
      stroke: colour("--ink"), width: 2, points: { show: true, size: 5, fill: colour("--ink") },
    }].map((one, index) => (index === 3 || !index ? one : { ...one, points: { show: false } })),
    bands: [{ series: [1, 2], fill: colour("--band") }],
    axes: [timeAxis(step), axis({ values: (_, splits) => splits.map((value) => show(value)), size: 58 })],
    hooks: { draw: [(u) => lines(u, held.references)] },
  }));
}

// Ways to answer, by cost and accuracy with their intervals. `hull`: names in order of cost.
export function picture(place, { points, hull }) {
  const held = { points, hull, tip: () => null };
  const costs = points.flatMap(({ usd }) => [usd.value, usd.low, usd.high]).filter((value) => value > 0);
  const lows = points.map(({ accuracy }) => accuracy.low);
  held.x = [Math.min(...costs) / 1.5, Math.max(...costs) * 3];
  held.y = [Math.max(0, Math.min(...lows) - 0.04), Math.min(1.02, Math.max(...points.map(({ accuracy }) => accuracy.high)) + 0.04)];
  const sorted = [...points].sort((a, b) => a.usd.value - b.usd.value);
  const data = [sorted.map(({ usd }) => usd.value), sorted.map(({ accuracy }) => accuracy.value)];
  draw(place, held, ["picture"], data, () => ({
    cursor: { show: false },
    scales: { x: { time: false, distr: 3, range: () => held.x }, y: { range: () => held.y } },
    series: [{}, { paths: () => null, points: { show: false } }],
    axes: [
      axis({ label: "USD per 1,000 requests, logarithmic", labelSize: 18, splits: () => nice(...held.x), filter: (_, splits) => splits, values: (_, splits) => splits.map((value) => `$${Number(value.toPrecision(3))}`) }),
      axis({ values: (_, splits) => splits.map((value) => `${Math.round(100 * value)} %`), size: 48, incrs: [0.01, 0.02, 0.05, 0.1, 0.2, 0.5] }),
    ],
    hooks: { draw: [(u) => ways(u, held)] },
  }));
}

// What was believed, across, and what was found, up.
export function calibration(place, { bins, colour: c }) {
  const held = { bins, tip: () => null };
  const percent = (_, splits) => splits.map((value) => `${Math.round(100 * value)} %`);
  draw(place, held, ["calibration", c], [[0, 1], [0, 1]], () => ({
    cursor: { show: false },
    scales: { x: { time: false, range: () => [0, 1.02] }, y: { range: () => [0, 1.02] } },
    series: [{}, { stroke: colour("--none"), dash: [4, 4], width: 1, points: { show: false } }],
    axes: [axis({ values: percent, label: "believed", labelSize: 16, space: 45 }), axis({ values: percent, size: 52, space: 26 })],
    hooks: { draw: [(u) => found(u, held, c)] },
  }));
}

function draw(place, held, shape, data, options) {
  const signature = JSON.stringify([shape, colour("--ink")]);
  const old = drawn.get(place);
  if (old?.signature === signature) {
    Object.assign(old.held, held);
    old.plot.setData(data);
    return;
  }
  old?.plot.destroy();
  const size = { width: place.clientWidth || 300, height: place.clientHeight || 170 };
  const base = { ...size, legend: { show: false }, padding: [10, 26, 0, 0], cursor: { y: false, points: { show: false }, drag: { x: false, y: false } } };
  const made = options();
  const kept = { held, signature };
  // The options made from `held` keep reading it, so a later update goes there.
  made.plugins = [tips(held)];
  kept.plot = new uPlot({ ...base, ...made }, data, place);
  drawn.set(place, kept);
  resized.observe(place);
}

function tips(held) {
  const box = document.createElement("div");
  box.className = "tip";
  box.hidden = true;
  return {
    hooks: {
      init: (u) => { u.over.append(box); u.over.addEventListener("mouseleave", () => { box.hidden = true; }); },
      setCursor: (u) => {
        const text = u.cursor.idx === null || u.cursor.left < 0 ? null : held.tip(u.cursor.idx);
        box.hidden = !text;
        if (!text) return;
        box.textContent = text;
        const right = u.cursor.left > u.over.clientWidth / 2;
        box.style.left = right ? "auto" : `${u.cursor.left + 12}px`;
        box.style.right = right ? `${u.over.clientWidth - u.cursor.left + 12}px` : "auto";
        box.style.top = "4px";
      },
    },
  };
}

function axis(more) {
  const line = { stroke: colour("--grid"), width: 1 };
  return { stroke: colour("--quiet"), font: "11px system-ui, sans-serif", labelFont: "11px system-ui, sans-serif", grid: line, ticks: line, ...more };
}

function timeAxis(step) {
  return axis({ space: 70, incrs: CLOCK, values: (_, splits, __, ___, increment) => splits.map((value) => label(value, Math.min(increment, 86400) || step)) });
}

const CLOCK = [1, 2, 5, 10, 15, 30, ...[1, 2, 5, 10, 15, 30].map((minutes) => 60 * minutes), ...[1, 2, 3, 6, 12].map((hours) => 3600 * hours),
  ...[1, 2, 7, 14, 28, 91, 182, 364].map((days) => 86400 * days)];

function label(timeS, increment) {
  const date = new Date(1000 * timeS);
  if (increment >= 43200) return date.toLocaleDateString([], { day: "numeric", month: "short" });
  const parts = { hour: "2-digit", minute: "2-digit", hour12: false, ...(increment < 60 ? { second: "2-digit" } : {}) };
  return date.toLocaleTimeString([], parts);
}

const when = (start, step) => (step >= 86400 ? new Date(1000 * start).toLocaleDateString() : label(start, step < 60 ? 1 : 60));

function nice(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const lead of high / low > 200 ? [1] : [1, 2, 5]) {
      const value = lead * 10 ** power;
      if (value >= low && value <= high) found.push(value);
    }
  }
  return found;
}

function brush(u, act) {
  const { ctx, bbox } = u, scale = devicePixelRatio || 1;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.lineWidth = 1.5 * scale;
  ctx.font = `${12 * scale}px system-ui, sans-serif`;
  act(ctx, scale, (value) => u.valToPos(value, "x", true), (value) => u.valToPos(value, "y", true));
  ctx.restore();
}

function stroke(ctx, ...ends) {
  ctx.beginPath();
  ends.forEach(([x, y], index) => (index ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
  ctx.stroke();
}

function lines(u, references) {
  brush(u, (ctx, scale, _, y) => {
    const right = u.bbox.left + u.bbox.width;
    for (const { name, value, colour: c } of references) {
      ctx.strokeStyle = ctx.fillStyle = colour(c);
      ctx.setLineDash([5 * scale, 4 * scale]);
      stroke(ctx, [u.bbox.left, y(value)], [right, y(value)]);
      ctx.textAlign = "right";
      ctx.fillText(name, right - 4 * scale, y(value) - 4 * scale);
    }
  });
}

function ways(u, { points, hull }) {
  brush(u, (ctx, scale, x, y) => {
    const named = Object.fromEntries(points.map((point) => [point.name, point]));
    ctx.strokeStyle = colour("--none");
    ctx.setLineDash([4 * scale, 4 * scale]);
    // Coins between two tiers: straight in money, so bent where money is logarithmic.
    const corners = hull.map((name) => named[name]).filter(Boolean);
    corners.slice(1).forEach((right, index) => {
      const left = corners[index];
      const mixed = Array.from({ length: 25 }, (_, step) => step / 24).map((part) => [
        x(left.usd.value + part * (right.usd.value - left.usd.value)),
        y(left.accuracy.value + part * (right.accuracy.value - left.accuracy.value)),
      ]);
      stroke(ctx, ...mixed);
    });
    ctx.setLineDash([]);
    for (const { name, usd, accuracy, colour: c, ours } of points) {
      const here = [x(usd.value), y(accuracy.value)];
      ctx.strokeStyle = ctx.fillStyle = colour(c);
      stroke(ctx, [here[0], y(accuracy.low)], [here[0], y(accuracy.high)]);
      stroke(ctx, [x(Math.max(usd.low, usd.value / 100)), here[1]], [x(usd.high), here[1]]);
      ctx.beginPath();
      if (ours) ctx.rect(here[0] - 5 * scale, here[1] - 5 * scale, 10 * scale, 10 * scale);
      else ctx.arc(...here, 5 * scale, 0, 2 * Math.PI);
      ctx.fill();
      const left = here[0] > u.bbox.left + 0.85 * u.bbox.width;
      // Ours stands apart from the tiers' below their points.
      ctx.textAlign = left || ours ? "right" : "left";
      ctx.font = `${ours ? "bold " : ""}${12 * scale}px system-ui, sans-serif`;
      ctx.fillText(name, here[0] + (left || ours ? -9 : 9) * scale, here[1] + (ours ? -9 : 16) * scale);
    }
  });
}

function found(u, { bins }, c) {
  brush(u, (ctx, scale, x, y) => {
    const most = Math.max(...bins.map(({ weight }) => weight));
    ctx.setLineDash([]);
    ctx.strokeStyle = ctx.fillStyle = colour(c);
    for (const { believed, found: share, low, high, weight } of bins) {
      const here = [x(believed), y(Math.min(1, Math.max(0, share)))];
      stroke(ctx, [here[0], y(low)], [here[0], y(high)]);
      ctx.beginPath();
      ctx.arc(...here, (3 + 4 * Math.sqrt(weight / most)) * scale, 0, 2 * Math.PI);
      ctx.fill();
    }
  });
}
