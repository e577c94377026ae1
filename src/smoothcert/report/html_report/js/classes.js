// Certified accuracy by class at the chosen k and radius, sortable by any column.

const classRanks = ranks(data.classNames);

/** Position of each name in alphabetical order, numbers by value. */
function ranks(names) {
  const { compare } = new Intl.Collator(undefined, { numeric: true });
  const place = new Uint32Array(names.length + 1);
  names.map((_, c) => c).sort((a, b) => compare(names[a], names[b]) || a - b).forEach((c, i) => { place[c] = i; });
  place[names.length] = names.length;
  return place;
}

function startClasses() {
  const [k, r] = [byId("classes-k"), byId("classes-r")];
  const sort = { by: "number", down: false };
  k.append(...data.ks.map((value, i) => option(i, String(value))));
  r.append(...data.radii.map(({ text }, i) => option(i, text)));
  const again = () => showClasses(data.tables.find((each) => each.k === data.ks[k.value] && each.r === Number(r.value)), sort, again);
  for (const choice of [k, r]) choice.addEventListener("change", again);
  again();
}

function showClasses(found, sort, again) {
  const columns = [
    { key: "name", title: "class", words: true },
    { key: "number", title: "no." },
    { key: "images", title: "images" },
    ...data.sigmas.map((sigma, i) => ({ key: `sigma${i}`, title: `sigma ${sigma}` })),
  ];
  sortableHead(byId("classes-head"), columns, sort, again);
  byId("classes-caption").textContent = `Certified accuracy by class at r = ${data.radii[found.r].text}, k = ${found.k}`;
  byId("classes-body").replaceChildren(...sortedClasses(found, sort).map((c) => classRow(found, c)));
  markScrollable();
}

function sortedClasses(found, sort) {
  const classes = data.classNames.map((_, c) => c);
  const counts = sort.by.startsWith("sigma") ? found.counts[Number(sort.by.slice(5))] : null;
  const share = (c) => (counts[c] === null || !data.classImages[c] ? null : counts[c] / data.classImages[c]);
  const keys = { name: (c) => classRanks[c], number: (c) => c, images: (c) => data.classImages[c] };
  const key = keys[sort.by] ?? share;
  const sign = sort.down ? -1 : 1;
  return classes.sort((a, b) => {
    const [one, other] = [key(a), key(b)];
    if (one === null || other === null) return (one === null) - (other === null) || a - b; // nothing to compare: last
    return sign * (one - other) || a - b;
  });
}

function classRow(found, c) {
  return make(
    "tr", {},
    make("th", { scope: "row" }, className(c)),
    make("td", {}, String(c)),
    make("td", {}, grouped(data.classImages[c])),
    ...found.texts.map((texts) => make("td", { class: texts[c].startsWith("not") ? "quiet" : null }, texts[c])),
  );
}
