// What the widgets share: colours, elements, names, controls. Python puts this file in front of the
// file of each widget, so that a widget is one module without imports.

// ColorBrewer's RdBu, the stops of matplotlib's map of that name: red negative, blue positive.
const STOPS = [
  [103, 0, 31], [178, 24, 43], [214, 96, 77], [244, 165, 130], [253, 219, 199], [247, 247, 247],
  [209, 229, 240], [146, 197, 222], [67, 147, 195], [33, 102, 172], [5, 48, 97],
];

// The same on a dark page: as light as text at the ends, as dark as the page in the middle.
const DARK_STOPS = [
  [229, 123, 135], [216, 68, 74], [170, 56, 40], [112, 45, 7], [59, 35, 19], [26, 26, 26],
  [29, 45, 53], [22, 73, 95], [17, 108, 153], [61, 128, 200], [121, 165, 223],
];

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const last = (array) => array[array.length - 1];

function colour(value, limit, dark) {
  const stops = dark ? DARK_STOPS : STOPS;
  const place = (clamp(value / limit, -1, 1) + 1) * 5;
  const stop = Math.min(Math.floor(place), 9);
  const mix = (a, b) => Math.round(a + (b - a) * (place - stop));
  return `rgb(${stops[stop].map((channel, i) => mix(channel, stops[stop + 1][i]))})`;
}

// On a dark page text is light, in whichever way its host says that it is dark.
function isDark(node) {
  const [red, green, blue] = getComputedStyle(node).color.match(/[\d.]+/g).map(Number);
  return red + green + blue > 3 * 128;
}

// Call `changed` when the page may have become dark or light; returns what ends it.
function watchTheme(changed) {
  const observer = new MutationObserver(changed);
  for (const node of [document.documentElement, document.body]) observer.observe(node, { attributes: true });
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", changed);
  return () => {
    observer.disconnect();
    system.removeEventListener("change", changed);
  };
}

// A unit as it follows a number: signs of angle stand close to it.
const unitOf = ({ unit }) => (unit ? `${/^[°′″]/.test(unit) ? "" : "\u00A0"}${unit}` : "");

// Elements ------------------------------------------------------------------------------------

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children.flat(Infinity).filter((child) => child != null));
  return node;
}
const html = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

// A dimension's or the value's name: "long name symbol_sub (unit)", or the symbol alone.
function htmlName({ name, symbol }, short = false) {
  if (!symbol) return name;
  const parts = [html("var", {}, symbol[0]), symbol[1] ? html("sub", {}, symbol[1]) : null];
  return html("span", {}, name && !short ? `${name} ` : null, parts);
}
function svgName({ name, symbol, unit }, attributes, short = false) {
  const subscript = symbol?.[1];
  return svg(
    "text", { class: "axis-name", "text-anchor": "middle", ...attributes },
    name && !(short && symbol) ? svg("tspan", {}, symbol ? `${name} ` : name) : null,
    symbol ? svg("tspan", { class: "symbol" }, symbol[0]) : null,
    subscript ? svg("tspan", { class: "subscript", dy: 3 }, subscript) : null,
    unit ? svg("tspan", subscript ? { dy: -3 } : {}, ` (${unit})`) : null,
  );
}
const plainName = ({ name, symbol }) => [name, ...(symbol ?? [])].filter(Boolean).join(" ");

// Numbers, with a real minus and no negative zero.
function decimals(number, digits) {
  const text = digits > 8 && number !== 0 ? number.toExponential(3) : number.toFixed(Math.min(digits, 8));
  return (Number(text) === 0 ? text.replace("-", "") : text).replaceAll("-", "−");
}

const significant = (number) => String(Number(number.toPrecision(3))).replaceAll("-", "−");

// A slider for a dimension, a menu if its entries are text; `chosen` reads its index, `choose` sets it.
function control(id, dim, chosen, choose) {
  const { labels, text } = dim;
  const input = text
    ? html("select", { id }, labels.map((label, i) => html("option", { value: i }, label)))
    : html("input", { id, type: "range", min: 0, max: labels.length - 1, step: 1 });
  const shown = text ? null : html("output", { for: id });
  input.addEventListener("input", () => choose(Number(input.value)));
  const update = () => {
    input.value = chosen();
    const said = `${labels[chosen()]}${unitOf(dim)}`;
    if (shown) shown.textContent = said;
    if (!text) input.setAttribute("aria-valuetext", said);
  };
  return { update, node: html("div", { class: "control" }, html("label", { for: id }, htmlName(dim)), input, shown) };
}

// "theta = 0.5" for the read-out; an entry that is text, such as "linear transfer", speaks for itself.
const entry = (dim, label) => html("span", { class: "entry" }, dim.text ? label : [htmlName(dim, true), ` = ${label}${unitOf(dim)}`]);
