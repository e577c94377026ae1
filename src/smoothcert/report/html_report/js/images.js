// The table of images: filtered, sorted and paged, for up to 100,000 images.

const OUTCOMES = ["no result", "certified", "abstained", "wrong class"];
const [UNDECIDED, CERTIFIED, ABSTAINED, WRONG] = [0, 1, 2, 3];
const PAGE_SIZES = [25, 50, 100, 500];
const MOST_RANGES = 1000;

class Images {
  constructor(open) {
    this.open = open;
    this.sort = { by: "index", down: false };
    this.page = 0;
    const found = ["sigma", "k", "show", "class", "index", "rows"].map((name) => [name, byId(`images-${name}`)]);
    this.choices = Object.fromEntries(found);
    this.choices.sigma.append(...data.sigmas.map((sigma, i) => option(i, sigma)));
    this.choices.k.append(...data.ks.map((k, i) => option(i, String(k))));
    this.choices.class.append(option("", "all"), ...this.classOptions());
    this.choices.rows.append(...PAGE_SIZES.map((size) => option(size, String(size))));
    for (const name of ["sigma", "k"]) this.choices[name].addEventListener("change", () => this.load());
    this.choices.show.addEventListener("change", () => this.chosen());
    for (const name of ["class", "rows"]) this.choices[name].addEventListener("change", () => this.select());
    this.choices.index.addEventListener("input", () => this.select());
    const turns = { first: () => 0, before: () => this.page - 1, after: () => this.page + 1, last: () => Infinity };
    for (const [name, to] of Object.entries(turns)) byId(`images-${name}`).addEventListener("click", () => this.turn(to()));
    byId("images-body").addEventListener("click", (event) => this.clicked(event));
  }

  classOptions() {
    const order = data.classNames.map((_, c) => c).sort((a, b) => classRanks[a] - classRanks[b]);
    return order.filter((c) => data.classImages[c]).map((c) => option(c, data.classNames[c]));
  }

  get level() { return Number(this.choices.sigma.value); }
  get rank() { return Number(this.choices.k.value); }

  /** Unpack the columns of the chosen sigma and k, and show them. */
  async load() {
    const [shared, votes, certificates] = await Promise.all([
      unpackAll(data.columns, ["index", "label"]),
      unpackAll(data.levels[this.level], ["selected", "copies"]),
      unpackAll(data.certificates[this.rank][this.level], ["outcome", "radius", "reached"]),
    ]);
    this.rows = { ...shared, ...votes, ...certificates };
    this.filters();
    this.select();
  }

  /** Offer the filters that apply at this sigma and k; keep the current choice if possible. */
  filters() {
    const grid = data.curves[this.rank][this.level].grid;
    const before = this.choices.show.value;
    const at = (name, words) =>
      data.radii.map(({ text }, i) => option(`${name}${i}`, `${words} ${text}${grid[i].attainable ? "" : " (not attainable)"}`, !grid[i].attainable));
    this.choices.show.replaceChildren(
      option("all", "all"), option("smallest", "certified, smallest radius first"),
      ...at("kept", "certified at r ="), ...at("lost", "not certified at r ="),
      option("abstained", "abstained"), option("wrong", "wrong class", !data.namesWrong[this.rank]),
      ...(data.missing ? [option("undecided", "no result")] : []),
    );
    this.choices.show.value = before;
    if (this.choices.show.selectedIndex < 0 || this.choices.show.selectedOptions[0].disabled) this.choices.show.value = "all";
  }

  chosen() {
    if (this.choices.show.value === "smallest") this.sort = { by: "radius", down: false };
    this.select();
  }

  keeps() {
    const { outcome, reached } = this.rows;
    const show = this.choices.show.value;
    const place = Number(show.slice(4));
    if (show.startsWith("kept")) return (i) => reached[i] > place;
    if (show.startsWith("lost")) return (i) => reached[i] <= place;
    const wanted = { smallest: CERTIFIED, abstained: ABSTAINED, wrong: WRONG, undecided: UNDECIDED }[show];
    return wanted === undefined ? () => true : (i) => outcome[i] === wanted;
  }

  /** Filter and sort; then show the first page. */
  select() {
    const keep = this.keeps();
    const label = this.choices.class.value === "" ? null : Number(this.choices.class.value);
    const ranges = readRanges(this.choices.index.value);
    this.choices.index.setAttribute("aria-invalid", String(ranges === null));
    const inRange = (n) => !ranges?.length || ranges.some(([from, to]) => from <= n && n <= to);
    const held = this.rows.index.length;
    const kept = new Uint32Array(held);
    let count = 0;
    for (let i = 0; i < held; i++) {
      if (keep(i) && (label === null || this.rows.label[i] === label) && inRange(this.rows.index[i])) kept[count++] = i;
    }
    this.order = sorted(kept.subarray(0, count), this.keys(), this.sort.down);
    sortableHead(byId("images-head"), this.columns(), this.sort, () => this.select());
    this.turn(0);
  }

  columns() {
    return [
      { key: "index", title: "index" },
      { key: "label", title: "reference label", words: true },
      ...(data.byPrediction[this.rank] ? [{ key: "selected", title: "selected class", words: true }] : []),
      { key: "outcome", title: "outcome", words: true },
      { key: "radius", title: "certified radius" },
      { key: "reached", title: "largest r of the spec" },
      { key: "copies", title: "noise samples" },
    ];
  }

  keys() {
    const values = this.rows[this.sort.by] ?? this.rows.index;
    return ["label", "selected"].includes(this.sort.by) ? values.map((c) => classRanks[c]) : values;
  }

  turn(page) {
    const size = Number(this.choices.rows.value);
    const last = Math.max(0, Math.ceil(this.order.length / size) - 1);
    this.page = Math.min(Math.max(0, page), last);
    const shown = this.order.subarray(this.page * size, (this.page + 1) * size);
    byId("images-body").replaceChildren(...Array.from(shown, (i) => this.row(i)));
    const [from, total] = [this.page * size, grouped(this.order.length)];
    const held = this.rows.index.length;
    const all = `${held < data.images ? `a random subset of ${grouped(held)} of ` : ""}${grouped(data.images)} images.`;
    byId("images-count").textContent = shown.length
      ? `Rows ${grouped(from + 1)} to ${grouped(from + shown.length)} of ${total}, from ${all}`
      : `None of ${all}`;
    byId("images-caption").textContent = `Images at sigma ${data.sigmas[this.level]}, k = ${data.ks[this.rank]}`;
    for (const name of ["first", "before"]) byId(`images-${name}`).disabled = this.page === 0;
    for (const name of ["after", "last"]) byId(`images-${name}`).disabled = this.page === last;
    markScrollable();
  }

  row(i) {
    const { index, label, selected, outcome, radius, reached, copies } = this.rows;
    const certified = outcome[i] === CERTIFIED;
    const hint = { type: "button", "aria-label": `image ${index[i]}: votes and bounds`, "aria-haspopup": "dialog" };
    const row = make("tr", { "data-place": i }, make("th", { scope: "row" }, make("button", hint, String(index[i]))));
    row.append(make("td", { class: "left" }, className(label[i])));
    if (data.byPrediction[this.rank]) row.append(make("td", { class: "left" }, className(selected[i])));
    row.append(make("td", { class: certified ? "left" : "left quiet" }, OUTCOMES[outcome[i]]));
    row.append(make("td", {}, certified ? decimal(radius[i]) : "–"));
    row.append(make("td", {}, reached[i] ? data.radii[reached[i] - 1].text : "–"));
    row.append(make("td", {}, outcome[i] === UNDECIDED ? "–" : grouped(copies[i])));
    return row;
  }

  clicked(event) {
    const row = event.target.closest("tr");
    if (row && getSelection().isCollapsed) this.open(Number(row.dataset.place), this.level, this.rank);
  }
}

/** Sort positions by their keys, ties by position. */
function sorted(places, keys, down) {
  const sign = down ? -1 : 1;
  return places.sort((a, b) => sign * (keys[a] - keys[b]) || a - b);
}

/** Read "17, 40-60" as [[17, 17], [40, 60]]; null if invalid, [] if empty. */
function readRanges(text) {
  const parts = text.split(",").map((part) => part.trim()).filter(Boolean);
  const found = parts.map((part) => /^(\d+)(?:\s*[-–]\s*(\d+))?$/.exec(part));
  if (found.some((match) => !match) || found.length > MOST_RANGES) return null;
  return found.map(([, from, to]) => [Number(from), Number(to ?? from)]);
}
