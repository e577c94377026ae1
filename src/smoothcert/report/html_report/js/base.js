// Data and helpers. Names from the data are inserted only as text, never as markup.

const data = JSON.parse(document.getElementById("data").textContent);
const MICRO = 1_000_000;
const KINDS = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array };
const PENS = 5;

const byId = (id) => document.getElementById(id);
const grouped = (n) => n.toLocaleString("en-US");
const pen = (i) => `pen${i % PENS}`;
const NONE = data.classNames.length; // stands for "no class"

/** Return an HTML element with attributes ("onclick" and the like are listeners) and children, which may be text. */
function make(tag, attributes = {}, ...children) {
  return furnish(document.createElement(tag), attributes, children);
}

/** Return an SVG element likewise. */
function draw(tag, attributes = {}, ...children) {
  return furnish(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function furnish(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

const option = (value, text, off = false) => make("option", { value, disabled: off }, text);

/** A name from the data, isolated from the text direction around it. */
const named = (text) => make("bdi", {}, text);
const className = (c) => named(c === NONE ? "–" : data.classNames[c]);

/** s of m in percent, rounded down to one decimal; exact, as 1000 s is an integer. */
const percentDown = (s, m) => tenths(Math.floor((1000 * s) / m));
const tenths = (n) => (n / 10).toFixed(1);

/** Whole millionths as a decimal: with six digits, or as few as needed. */
const decimal = (micro) => (micro / MICRO).toFixed(6);
const shortDecimal = (micro) => String(Number(decimal(micro)));

const unpacked = new WeakMap();

/** Return the integers of a packed column; each column is unpacked once, on first use. */
function unpack(column) {
  if (!unpacked.has(column)) unpacked.set(column, inflate(column));
  return unpacked.get(column);
}

async function inflate(column) {
  const text = atob(column.data);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const values = new KINDS[column.bytes](await new Response(stream).arrayBuffer());
  if (column.steps) for (let i = 1; i < values.length; i++) values[i] += values[i - 1];
  column.data = null;
  return values;
}

/** Unpack the named columns of a record together. */
async function unpackAll(record, names = Object.keys(record)) {
  const arrays = await Promise.all(names.map((name) => unpack(record[name])));
  return Object.fromEntries(names.map((name, i) => [name, arrays[i]]));
}

/** Fill a table head with sort buttons; `sort` is {by, down}, and `again` is called after a change. */
function sortableHead(row, columns, sort, again) {
  row.replaceChildren(
    ...columns.map(({ key, title, words }) => {
      const state = sort.by !== key ? "none" : sort.down ? "descending" : "ascending";
      const choose = () => {
        sort.down = sort.by === key ? !sort.down : false;
        sort.by = key;
        again();
        row.querySelector(`[data-key="${key}"]`).focus();
      };
      const button = make("button", { type: "button", onclick: choose, "data-key": key }, title);
      return make("th", { scope: "col", "aria-sort": state, class: words ? "left" : null }, button);
    }),
  );
}

/** Make tables that are wider than the page scrollable with the keyboard. */
function markScrollable() {
  for (const box of document.querySelectorAll(".scroll")) {
    const wide = box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
    const caption = box.querySelector("caption");
    const marks = { tabindex: "0", role: "region", "aria-label": caption ? caption.textContent : "table" };
    for (const [name, value] of Object.entries(marks)) {
      if (wide) box.setAttribute(name, value);
      else box.removeAttribute(name);
    }
  }
}
