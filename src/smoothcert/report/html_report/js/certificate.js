// The certificate of one image: what is certified, in words, with its votes and bounds.

class CertificateView {
  constructor() {
    this.dialog = byId("certificate");
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
  }

  /** Show the image in row i of the columns, at one sigma and k. */
  async open(i, level, rank) {
    const [shared, votes, bounds, ...brief] = await Promise.all([
      unpackAll(data.columns),
      unpackAll(data.levels[level]),
      unpackAll(data.certificates[rank][level]),
      ...data.certificates[rank].map((each) => unpackAll(each, ["outcome", "radius"])),
    ]);
    const image = { i, rank, level, k: data.ks[rank], sigma: data.sigmas[level] };
    const facts = { index: shared.index[i], label: shared.label[i], hash: hashText(shared.hash, i) };
    const levels = brief.map(({ outcome, radius }) => ({ outcome: outcome[i], radius: radius[i] }));
    this.fill({ ...image, ...facts, ...votesOf(i, votes), ...boundsOf(i, bounds, image.k) }, levels);
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.querySelector("h2").focus();
  }

  fill(view, levels) {
    const title = `Image ${view.index}, sigma ${view.sigma}, k = ${view.k}`;
    this.dialog.replaceChildren(
      make("h2", { id: "certificate-title", tabindex: "-1" }, title),
      make("button", { type: "button", class: "close", onclick: () => this.dialog.close() }, "Close"),
      ...[...document.querySelectorAll(".bar .mark:not(.closed)")].map((mark) => mark.cloneNode(true)),
      statement(view),
      ...(view.outcome === CERTIFIED ? [make("p", {}, radiusInWords(view.radius))] : []),
      factList(view),
      ...(view.n ? [votesTable(view)] : []),
      ...(view.n && view.most ? [boundsTable(view)] : []),
      this.others(view, levels),
    );
  }

  /** The same image at each noise level. */
  others({ i, level, rank, k }, levels) {
    const rows = levels.map(({ outcome, radius }, s) => {
      const go = make("button", { type: "button", disabled: s === level, onclick: () => this.open(i, s, rank) }, `sigma ${data.sigmas[s]}`);
      const cells = [OUTCOMES[outcome], outcome === CERTIFIED ? decimal(radius) : "–"];
      return make("tr", {}, make("th", { scope: "row" }, go), ...cells.map((text) => make("td", {}, text)));
    });
    return table(`This image at each noise level, k = ${k}`, ["noise level", "outcome", "certified radius"], rows);
  }
}

function votesOf(i, columns) {
  const start = i * data.slots;
  const pairs = Array.from({ length: data.slots }, (_, j) => [columns.voted[start + j], columns.votes[start + j]]);
  const { selected, support, copies, n } = columns;
  return { selected: selected[i], support: support[i], copies: copies[i], n: n[i], votes: pairs.filter(([c]) => c !== NONE) };
}

function boundsOf(i, columns, k) {
  const { outcome, radius, reached, least, most } = columns;
  const bounds = most ? { least: least[i], most: Array.from(most.subarray(i * k, (i + 1) * k)) } : {};
  return { outcome: outcome[i], radius: radius[i], reached: reached[i], ...bounds };
}

function hashText(hash, i) {
  const bytes = hash.subarray(i * data.hashBytes, (i + 1) * data.hashBytes);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What is certified for this image, in one or two sentences. */
function statement(view) {
  const label = () => className(view.label);
  const sure = ` Wrong with probability at most ${data.alpha}, taken over the noise drawn for this image.`;
  const ball = `everywhere in the open ball of L2 radius ${decimal(view.radius)} around this image (rounded down).`;
  const kept = view.k === 1 ? [] : [` among its ${view.k} most probable classes`];
  const words = {
    [CERTIFIED]: ["Certified: the smoothed classifier keeps ", label(), ...kept, ` ${ball}${sure}`],
    [ABSTAINED]: ["Abstained: no positive radius is certified for ", label(), ". The image counts as not certified; that does not show that it can be attacked."],
    [WRONG]: ["Wrong class: ", ...wrongWords(view), label(), ". The image counts as not certified."],
    [UNDECIDED]: ["No result: the run is partial and has no votes for this image. It counts as not certified."],
  };
  const kind = { [CERTIFIED]: "good", [WRONG]: "bad" }[view.outcome] ?? "warn";
  return make("p", { class: `statement ${kind}` }, ...words[view.outcome]);
}

/** What the votes chose instead of the reference label. */
function wrongWords(view) {
  if (view.selected !== NONE) return ["the selection votes chose ", className(view.selected), ", the reference label is "];
  return [`nothing is certified, and the ${view.k === 1 ? "most voted class is" : `${view.k} most voted classes are`} not the reference label, `];
}

/** The radius in grey levels of 255, rounded down. */
function radiusInWords(micro) {
  const down = (value) => (Math.floor((100 * value * micro) / MICRO) / 100).toFixed(2);
  const patch = data.patch === null ? "" : ` or a change of ${down(data.patch)} grey levels on a patch of 20 x 20 pixels`;
  return `In image units: a root mean square of ${down(data.rms)} grey levels (of 255) per value, which is also the largest uniform shift of brightness inside the ball${patch}.`;
}

function factList(view) {
  const grid = data.curves[view.rank][view.level].grid;
  const at = data.radii.map(({ text }, i) => `${text}: ${view.reached > i ? "yes" : grid[i].attainable ? "no" : "not attainable"}`);
  const look = data.looks.indexOf(view.n) + 1;
  const pairs = [["Reference label", className(view.label)]];
  if (view.outcome !== UNDECIDED) pairs.push(["Certified at r", at.join("; ")]);
  if (view.selected !== NONE) {
    pairs.push(["Selection", make("span", {}, className(view.selected), `, ${grouped(view.support)} of ${grouped(data.n0)} votes`)]);
  }
  if (view.outcome !== UNDECIDED) pairs.push(["Noise samples", `${grouped(view.copies)}${view.selected === NONE ? "" : ", selection included"}`]);
  if (look) pairs.push(["Last look", `${grouped(view.n)} samples, look ${look} of ${data.looks.length}`]);
  if (view.outcome !== UNDECIDED) pairs.push(["Image SHA-256", `${view.hash}... (first ${2 * data.hashBytes} digits)`]);
  return make("dl", {}, ...pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

function votesTable(view) {
  const rows = view.votes.map(([c, votes], i) => voteRow(make("span", {}, className(c), i ? "" : " (reference label)"), votes, view.n));
  const rest = view.n - view.votes.reduce((sum, [, votes]) => sum + votes, 0);
  if (rest) rows.push(voteRow("all other classes together", rest, view.n));
  return table(`Votes at the last look, ${grouped(view.n)} samples`, ["class", "votes", "share %", ""], rows);
}

function voteRow(name, votes, n) {
  const filled = draw("rect", { width: (100 * votes) / n, height: 8 });
  const bar = draw("svg", { class: "share", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" }, filled);
  return make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, grouped(votes)), make("td", {}, percentDown(votes, n)), make("td", {}, bar));
}

function boundsTable(view) {
  const row = (name, sign, value) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, `${sign} ${decimal(value)}`));
  const rivals = view.most.map((value, j) => row(view.k === 1 ? "most probable other class" : `other class no. ${j + 1} by probability`, "at most", value));
  const looks = data.looks.length > 1 ? "; the tightest over the looks taken, which hold jointly" : "";
  const caption = `Bounds on the probabilities under noise; for any fixed image one of them is wrong with probability at most ${data.alpha}, over its own noise${looks}`;
  return table(caption, ["class", "probability"], [row(make("span", {}, className(view.label)), "at least", view.least), ...rivals]);
}

function table(caption, headings, rows) {
  const head = make("tr", {}, ...headings.map((text) => (text ? make("th", { scope: "col" }, text) : make("td"))));
  return make("div", { class: "scroll" }, make("table", { class: "numbers" }, make("caption", {}, make("span", {}, caption)), make("thead", {}, head), make("tbody", {}, ...rows)));
}
