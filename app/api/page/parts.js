// Pieces of the page: elements, tables, legends, bars. Text is always set as text, never as markup.

export const at = (id) => document.getElementById(id);

export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") element.className = value;
    else if (key === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// A cell is a text, an element, or {text, numeric, unsure}.
export function table(caption, heads, rows) {
  const head = heads.map((name) => {
    const { text, numeric } = typeof name === "string" ? { text: name } : name;
    return make("th", { scope: "col", class: numeric ? "n" : "" }, text);
  });
  const body = rows.map(({ cells, harm }) =>
    make("tr", { class: harm ? "harm" : "" }, ...cells.map((cell, column) => {
      const content = cell?.text ?? cell ?? "";
      const kind = [heads[column]?.numeric ? "n" : "", cell?.unsure ? "unsure" : ""].join(" ").trim();
      return make("td", { class: kind }, content);
    })));
  return make("table", { "aria-label": caption }, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
}

export const number = (text) => ({ text, numeric: true });

// Puts new content in place without taking the keyboard's focus away.
export function replace(id, ...content) {
  const place = at(id), focused = document.activeElement, key = focused?.dataset?.focus;
  const mine = key !== undefined && place.contains(focused);
  place.replaceChildren(...content);
  if (mine) place.querySelector(`[data-focus="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

export function swatch(colour) {
  const box = make("span", { class: "swatch" });
  box.style.background = `var(${colour})`;
  return box;
}

export function legend(id, entries) {
  replace(id, ...entries.map(({ colour, text }) => make("li", {}, swatch(colour), text)));
}

// A share with its interval, drawn from 0 to 1.
export function shareBar({ value, low, high }) {
  const bar = make("span", { class: "bar", "aria-hidden": "true" });
  if (value === null) return bar;
  const range = make("i", { class: "range" }), point = make("i", { class: "point" });
  range.style.left = `${100 * low}%`;
  range.style.width = `${100 * (high - low)}%`;
  point.style.left = `${100 * Math.min(1, Math.max(0, value))}%`;
  bar.append(range, point);
  return bar;
}

// A length from 0 to 1, and a mark farther right.
export function lengthBar(length, mark) {
  const bar = make("span", { class: "bar", "aria-hidden": "true" });
  const filled = make("i"), range = make("i", { class: "range" });
  filled.style.width = `${100 * Math.min(1, length)}%`;
  range.style.left = `${100 * Math.min(1, length)}%`;
  range.style.width = `${100 * Math.max(0, Math.min(1, mark) - length)}%`;
  bar.append(filled, range);
  return bar;
}
