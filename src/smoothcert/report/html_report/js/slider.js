// Exact counts at any radius, read from the curves by slider, pointer and keyboard.

const OUTSIDE = "is not a radius of the spec. It may have been chosen after seeing results, so no population bound is given.";
const AT_LEAST = "Sampling of an image stops once the radii of the spec are decided; at other radii the counts are “at least”.";
const THINNED = "This curve has very many steps; the page contains some of them, and counts between them are “at least”.";
const BUDGET = "“Not attainable” is a limit of the sampling budget, not a finding about the classifier.";
const PARTIAL = "At a noise level with missing results, these count as not certified, and no interval or bound is given.";
const SPOKEN_AFTER = 600; // milliseconds of rest before the result is announced to screen readers

/** A radius is {micro, spec}: whole millionths, and its position in the spec or -1. */
const specRadius = (place) => ({ micro: data.radii[place].micro, spec: place });
const anyRadius = (micro) => ({ micro, spec: data.radii.findIndex((r) => r.whole && r.micro === micro) });
const radiusText = ({ micro, spec }) => (spec < 0 ? shortDecimal(micro) : data.radii[spec].text);

/** Return the values of one curve at a radius. `counts`, the unpacked steps, is set on each curve at the start. */
function reading(curve, radius) {
  const { partial } = curve;
  if (radius.spec >= 0) return { partial, least: false, ...curve.grid[radius.spec] };
  if (radius.micro > curve.limit) return { attainable: false };
  if (!curve.counts) return null;
  const { radius: ends, count, low, high } = curve.counts;
  let [from, to] = [0, ends.length - 1];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (ends[middle] >= radius.micro) to = middle;
    else from = middle + 1;
  }
  return { partial, attainable: true, least: !curve.exact || Boolean(curve.thinned), thinned: curve.thinned, count: count[from], low: low[from], high: high?.[from], population: null };
}

/** An interval in percent, without upper end if sampling stopped early and the radius is not in the spec. */
const interval = ({ low, high }) => data.noInterval ? "withheld" : (high === undefined ? `at least ${tenths(low)}` : `${tenths(low)} to ${tenths(high)}`);

function inWords(found) {
  if (!found) return "not known";
  if (!found.attainable) return "not attainable";
  const ends = found.partial || data.noInterval ? "" : `, 95 % interval ${interval(found)} %, if independent`;
  const population = found.population ? `, population at least ${found.population} %` : "";
  return `${found.least ? "at least " : ""}${found.count} of ${data.images} certified, ${percentDown(found.count, data.images)} %${ends}${population}`;
}

class Readout {
  constructor(charts, view) {
    Object.assign(this, { charts, view, hovered: null });
    this.range = byId("radius-range");
    this.number = byId("radius-number");
    Object.assign(this.range, { max: data.reach, step: data.step });
    this.range.addEventListener("input", () => this.choose(this.nearSpec(Number(this.range.value))));
    this.number.addEventListener("input", () => this.typed());
    byId("jumps").append(...data.radii.map(({ text }, i) => this.jump(text, i)));
    this.choose(view.radius);
  }

  jump(text, place) {
    return make("button", { type: "button", onclick: () => this.choose(specRadius(place)) }, `r = ${text}`);
  }

  /** Snap a slider position to a radius of the spec within half a step. */
  nearSpec(micro) {
    const near = data.radii.findIndex((r) => Math.abs(r.micro - micro) < data.step / 2);
    return near >= 0 ? specRadius(near) : anyRadius(micro);
  }

  typed() {
    const value = this.number.valueAsNumber;
    const sound = value >= 0 && value <= 100;
    this.number.setAttribute("aria-invalid", String(!sound));
    if (sound) this.choose(anyRadius(Math.round(value * MICRO)), this.number);
  }

  /** Set the radius; the input that it was typed into is not changed. */
  choose(radius, source = null) {
    this.view.radius = radius;
    this.hovered = null;
    this.range.value = Math.min(radius.micro, data.reach);
    this.range.setAttribute("aria-valuetext", `r = ${radiusText(radius)}`);
    if (source !== this.number) {
      this.number.value = shortDecimal(radius.micro);
      this.number.setAttribute("aria-invalid", "false");
    }
    [...byId("jumps").children].forEach((button, i) => button.setAttribute("aria-pressed", String(radius.spec === i)));
    this.show();
  }

  hover(radius) {
    this.hovered = radius;
    this.show();
  }

  show() {
    const radius = this.hovered ?? this.view.radius;
    const chart = this.charts[this.view.k];
    if (chart.cursor) chart.moveCursor(radius);
    const found = chart.curves.map((curve) => reading(curve, radius));
    const at = radius.micro === 0 ? "any positive radius (r = 0)" : `r = ${radiusText(radius)}`;
    byId("readout-caption").textContent = `At ${at}, k = ${data.ks[this.view.k]}`;
    byId("readout").replaceChildren(...chart.curves.map((curve, i) => readoutRow(curve, i, found[i])));
    byId("readout-note").textContent = notes(radius, found).join(" ");
    clearTimeout(this.speaking);
    const levels = found.map((each, i) => `sigma ${data.sigmas[i]}: ${inWords(each)}`);
    this.speaking = setTimeout(() => { byId("readout-live").textContent = `At ${at}: ${levels.join("; ")}.`; }, SPOKEN_AFTER);
  }
}

function readoutRow(curve, i, found) {
  const swatch = make("span", { class: `swatch ${pen(i)}`, "aria-hidden": "true" });
  const row = make("tr", {}, make("th", { scope: "row" }, swatch, data.sigmas[i]));
  const cells = readoutCells(curve, found);
  row.append(...cells.map((text) => make("td", { class: /^(–|not|partial|withheld)/.test(text) ? "quiet" : null }, text)));
  return row;
}

function readoutCells(curve, found) {
  if (!found) return ["–", "–", "–", "–", curve.limitText];
  if (!found.attainable) return ["–", `not attainable (R_max ${curve.limitText})`, "–", "–", curve.limitText];
  const least = found.least ? "at least " : "";
  return [
    `${least}${grouped(found.count)}/${grouped(data.images)}`,
    `${least}${percentDown(found.count, data.images)}`,
    found.partial ? "partial run" : interval(found),
    found.partial ? "partial run" : found.population ?? "–",
    curve.limitText,
  ];
}

function notes(radius, found) {
  const lines = [];
  if (data.missing) lines.push(PARTIAL);
  if (radius.spec < 0) lines.push(`r = ${radiusText(radius)} ${OUTSIDE}`);
  if (found.some((each) => each?.least && !each.thinned)) lines.push(AT_LEAST);
  if (found.some((each) => each?.thinned)) lines.push(THINNED);
  if (found.some((each) => each && !each.attainable)) lines.push(BUDGET);
  return lines;
}
