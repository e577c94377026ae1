// Certified accuracy against radius: one figure per k, drawn as SVG in the available width.

const DASHES = [null, "8 3", "2 3", "9 3 2 3", "14 4"];
const SHAPES = [
  (s) => `M${-s},0a${s},${s} 0 1,0 ${2 * s},0a${s},${s} 0 1,0 ${-2 * s},0z`,
  (s) => `M${-s},${-s}h${2 * s}v${2 * s}h${-2 * s}z`,
  (s) => `M0,${-1.2 * s}L${1.15 * s},${0.9 * s}H${-1.15 * s}z`,
  (s) => `M0,${-1.4 * s}L${1.3 * s},0L0,${1.4 * s}L${-1.3 * s},0z`,
  (s) => `M0,${1.2 * s}L${1.15 * s},${-0.9 * s}H${-1.15 * s}z`,
];
const MARGIN = { left: 44, right: 14, top: 44, bottom: 44 };
const NEAR = 7; // pixels from a radius of the spec within which the pointer snaps to it
const APART = { x: 60, y: 15 }; // size of a line label, in pixels

const shape = (i, size) => SHAPES[i % SHAPES.length](size);
const dashes = (i) => DASHES[i % DASHES.length];

class Chart {
  /** `view` is shared by all charts: {hidden, radius}; `on` has the callbacks of the pointer. */
  constructor(k, view, on) {
    Object.assign(this, { k, view, on, curves: data.curves[k], focused: null });
    this.caption = make("figcaption", {}, make("strong", {}, `k = ${data.ks[k]}. `), chartWords(this.curves));
    this.frame = make("div");
    this.figure = make("figure", {}, this.frame, this.caption);
  }

  /** Redraw everything for the available width. */
  redraw() {
    const width = Math.max(300, this.frame.clientWidth || 680);
    const height = width < 520 ? 320 : 420;
    this.inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
    const label = `Certified accuracy against L2 radius, k = ${data.ks[this.k]}. Arrow keys move between the marked results.`;
    this.cursor = draw("g", { class: "onscreen", "aria-hidden": "true" });
    this.marks = draw("g");
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label });
    svg.append(this.axes(), this.lines(), this.cursor, this.marks);
    this.points();
    svg.addEventListener("pointermove", (event) => this.on.hover(this.radiusUnder(event)));
    svg.addEventListener("pointerleave", () => this.on.hover(null));
    svg.addEventListener("click", (event) => this.on.choose(this.radiusUnder(event)));
    this.frame.replaceChildren(svg);
    this.moveCursor(this.view.radius);
  }

  x(micro) { return MARGIN.left + (this.inner.width * micro) / data.reach; }
  y(percent) { return MARGIN.top + this.inner.height * (1 - percent / 100); }
  get bottom() { return MARGIN.top + this.inner.height; }

  radiusUnder(event) {
    const box = this.frame.firstChild.getBoundingClientRect();
    const at = ((event.clientX - box.left) * (this.inner.width + MARGIN.left + MARGIN.right)) / box.width;
    const near = data.radii.findIndex((r) => Math.abs(this.x(r.micro) - at) <= NEAR);
    if (near >= 0) return specRadius(near);
    const micro = ((at - MARGIN.left) / this.inner.width) * data.reach;
    return anyRadius(Math.min(data.reach, Math.max(0, Math.round(micro / data.step) * data.step)));
  }

  axes() {
    const group = draw("g", { "aria-hidden": "true" });
    const right = MARGIN.left + this.inner.width;
    for (let percent = 0; percent <= 100; percent += 20) {
      const y = this.y(percent);
      group.append(draw("line", { class: "grid", x1: MARGIN.left, x2: right, y1: y, y2: y }));
      group.append(draw("text", { x: MARGIN.left - 8, y: y + 4, "text-anchor": "end" }, String(percent)));
    }
    for (const tick of niceTicks(data.reach / MICRO, this.inner.width / 70)) {
      const x = this.x(tick * MICRO);
      group.append(draw("line", { class: "axis", x1: x, x2: x, y1: this.bottom, y2: this.bottom + 5 }));
      group.append(draw("text", { x, y: this.bottom + 19, "text-anchor": "middle" }, String(tick)));
    }
    for (const { micro } of data.radii) {
      const x = this.x(micro);
      if (micro <= data.reach) group.append(draw("line", { class: "spec", x1: x, x2: x, y1: MARGIN.top, y2: this.bottom }));
    }
    group.append(draw("line", { class: "axis", x1: MARGIN.left, x2: right, y1: this.bottom, y2: this.bottom }));
    group.append(draw("text", { x: 4, y: 13 }, "certified accuracy (%)"));
    const title = "L2 radius r, in units of the [0, 1] range";
    group.append(draw("text", { x: MARGIN.left + this.inner.width / 2, y: this.bottom + 38, "text-anchor": "middle" }, title));
    return group;
  }

  /** Curves, bands, names and end marks of the noise levels that are shown. */
  lines() {
    const group = draw("g", { "aria-hidden": "true" });
    const shown = this.curves.map((curve, i) => ({ curve, i })).filter(({ i }) => !this.view.hidden.has(i));
    const drawn = shown.filter(({ curve }) => curve.drawn);
    for (const { curve, i } of drawn) {
      if (!curve.partial && !data.noInterval) group.append(draw("path", { class: `band ${pen(i)}`, d: this.band(curve.drawn) }));
    }
    for (const { curve, i } of drawn) {
      const kind = curve.exact ? "line" : "line least";
      group.append(draw("path", { class: `${kind} ${pen(i)}`, d: this.steps(curve.drawn), "stroke-dasharray": dashes(i) }));
    }
    const ends = drawn.map(({ curve }) => ({ x: this.x(curve.drawn.radius.at(-1) * MICRO) + 9, y: this.y(curve.drawn.share.at(-1)) }));
    apart(ends, this.bottom - 6).forEach(({ x, y }, place) => {
      const { i } = drawn[place];
      group.append(draw("text", { class: `name ${pen(i)}`, x, y: y + 4 }, `σ ${data.sigmas[i]}`));
    });
    let named = -Infinity;
    for (const { curve, i } of shown.sort((a, b) => a.curve.limit - b.curve.limit)) {
      if (!(curve.limit > 0 && curve.limit <= data.reach)) continue;
      const x = this.x(curve.limit);
      group.append(draw("line", { class: `limit ${pen(i)}`, x1: x, x2: x, y1: MARGIN.top - 2, y2: MARGIN.top + 8 }));
      group.append(draw("path", { class: `limit ${pen(i)}`, d: shape(i, 3.6), transform: `translate(${x},${MARGIN.top - 5})` }));
      if (x - named < 44) continue; // one label for end marks that are close together
      named = x;
      group.append(draw("text", { x, y: MARGIN.top - 14, "text-anchor": "middle" }, "R_max"));
    }
    return group;
  }

  /** share[i] holds for radius[i-1] < r <= radius[i]. */
  steps({ radius, share }) {
    const parts = radius.map((r, i) => `V${this.y(share[i]).toFixed(1)}H${this.x(r * MICRO).toFixed(1)}`);
    return `M${this.x(0)},${this.y(share[0]).toFixed(1)}${parts.join("")}`;
  }

  /** Without upper ends, where the line is only "at least", the band ends at the line. */
  band({ radius, share, low, high = share }) {
    const back = radius.map((r, i) => `V${this.y(low[i]).toFixed(1)}H${this.x(i ? radius[i - 1] * MICRO : 0).toFixed(1)}`);
    return `${this.steps({ radius, share: high })}${back.reverse().join("")}Z`;
  }

  /** The results at the radii of the spec: one tab stop, moved by the arrow keys. */
  points() {
    this.places = [];
    this.curves.forEach((curve, i) => {
      if (this.view.hidden.has(i)) return;
      curve.grid.forEach((mark, r) => {
        if (mark.attainable) this.places.push({ i, r, node: this.point(curve, i, r) });
      });
    });
    this.places.forEach(({ node }, place) => node.setAttribute("tabindex", place ? "-1" : "0"));
    this.marks.append(...this.places.map(({ node }) => node));
  }

  point(curve, i, r) {
    const mark = curve.grid[r];
    const y = this.y((100 * mark.count) / data.images);
    const label = `sigma ${data.sigmas[i]}, r = ${data.radii[r].text}: ${inWords(reading(curve, specRadius(r)))}`;
    return draw("path", {
      class: `point ${pen(i)}`, d: shape(i, 5), transform: `translate(${this.x(data.radii[r].micro)},${y})`,
      role: "img", "aria-label": label,
      onfocus: () => this.on.hover(specRadius(r)),
      onblur: () => this.on.hover(null),
      onkeydown: (event) => this.step(event, i, r),
    });
  }

  /** Left and right: another radius; up and down: another noise level at this radius. */
  step(event, i, r) {
    const [along, across] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (!along && !across) return;
    event.preventDefault();
    const levels = this.places.filter((place) => place.r === r).map((place) => place.i);
    const level = across ? levels[(levels.indexOf(i) + across + levels.length) % levels.length] : i;
    const next = this.places.find((place) => place.i === level && place.r === r + along);
    if (!next) return;
    for (const { node } of this.places) node.setAttribute("tabindex", node === next.node ? "0" : "-1");
    next.node.focus();
  }

  moveCursor(radius) {
    this.cursor.replaceChildren();
    if (radius.micro > data.reach) return;
    const x = this.x(radius.micro);
    this.cursor.append(draw("line", { class: "cursor", x1: x, x2: x, y1: MARGIN.top, y2: this.bottom }));
    this.curves.forEach((curve, i) => {
      const found = this.view.hidden.has(i) ? null : reading(curve, radius);
      if (!found || !found.attainable) return;
      this.cursor.append(draw("circle", { class: `dot ${pen(i)}`, r: 4, cx: x, cy: this.y((100 * found.count) / data.images) }));
    });
  }
}

function chartWords(curves) {
  const some = curves.some((curve) => curve.partial);
  const partial = some ? " Images without a result count as not certified: lines without a band are only lower limits." : "";
  const exact = "Lines: certified accuracy at every radius, up to R_max.";
  const least = "Thin lines: at least this share, as sampling stops once the radii of the spec are decided.";
  const ends = curves[0].exact ? " Bands: exact 95 % intervals, one radius at a time." : " Bands: down to the lower end of the 95 % interval; only the markers have an upper end.";
  const bands = data.noInterval ? ` No intervals: ${data.noInterval}.` : curves.every((curve) => curve.partial) ? "" : `${ends} Intervals hold if the images are independent draws.`;
  const lines = curves[0].exact ? exact : least;
  return `Markers: the radii of the spec (dashed). ${lines}${partial}${bands} R_max: the largest radius that n_max samples can certify with any classifier; none beyond is attainable.`;
}

/** Move labels up until none overlap; none goes below `lowest`. */
function apart(places, lowest) {
  const moved = places.map(({ x, y }) => ({ x, y: Math.min(y, lowest) }));
  const set = [];
  for (const place of [...moved].sort((a, b) => b.y - a.y)) {
    for (const other of set) {
      if (Math.abs(place.x - other.x) < APART.x && Math.abs(place.y - other.y) < APART.y) place.y = other.y - APART.y;
    }
    set.push(place);
  }
  return moved;
}

function niceTicks(end, most) {
  const rough = end / Math.max(2, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((part) => power * part >= rough);
  const ticks = [];
  for (let i = 0; i * step <= end * 1.0001; i++) ticks.push(Number((i * step).toPrecision(6)));
  return ticks;
}
