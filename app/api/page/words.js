// Numbers and times in words: every figure has its unit, what is unknown says so.

export const UNKNOWN = "unknown";

export function usd(value) {
  if (value === null || value === undefined) return UNKNOWN;
  const size = Math.abs(value), sign = value < 0 ? "−" : "";
  if (size === 0) return "$0";
  if (size >= 1000) return `${sign}$${Math.round(size).toLocaleString("en")}`;
  if (size >= 1) return `${sign}$${size.toFixed(2)}`;
  if (size < 1e-9) return `${sign}<$0.000000001`;
  return `${sign}$${Number(size.toPrecision(3)).toFixed(Math.min(12, 2 - Math.floor(Math.log10(size))))}`;
}

export const signed = (value, show) => (value > 0 ? "+" : "") + show(value);

export function share(value, digits = 0) {
  if (value === null || value === undefined) return UNKNOWN;
  return `${(100 * value).toFixed(digits).replace("-", "−")} %`;
}

export function accuracy(value) {
  // An estimate may leave [0, 1] a little; an accuracy does not.
  return value === null || value === undefined ? UNKNOWN : share(Math.min(1, Math.max(0, value)), 1);
}

export const interval = (figure, show) => `${show(figure.low)} to ${show(figure.high)}`;

export function points(figure) {
  if (figure.value === null) return UNKNOWN;
  const [value, low, high] = [figure.value, figure.low, figure.high].map((end) => signed(100 * end, (p) => p.toFixed(1).replace("-", "−")));
  return `${value} points [${low}, ${high}]`;
}

export function seconds(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return UNKNOWN;
  if (value < 0.01) return `${(1000 * value).toFixed(2)} ms`;
  if (value < 1) return `${(1000 * value).toFixed(0)} ms`;
  return `${value.toFixed(value < 10 ? 2 : 1)} s`;
}

export const count = (value) => Math.round(value).toLocaleString("en");

export const evidence = (nEff) => `effective sample ${Math.floor(nEff)} of 50`;

export const clock = (timeS) => new Date(1000 * timeS).toLocaleTimeString([], { hour12: false });

export const moment = (timeS) => new Date(1000 * timeS).toLocaleString([], { dateStyle: "medium", timeStyle: "medium", hour12: false });
