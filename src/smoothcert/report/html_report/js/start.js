// Start all parts of the page.

const view = { k: 0, hidden: new Set(), radius: specRadius(0) };

function showChart(charts) {
  charts.forEach((chart, k) => { chart.figure.hidden = k !== view.k; });
}

function legend(charts) {
  const buttons = data.sigmas.map((sigma, i) => {
    const line = draw("line", { class: `line ${pen(i)}`, x1: 0, x2: 38, y1: 7, y2: 7, "stroke-dasharray": dashes(i) });
    const mark = draw("path", { class: `point ${pen(i)}`, d: shape(i, 4.5), transform: "translate(19,7)" });
    const swatch = draw("svg", { viewBox: "0 0 38 14", "aria-hidden": "true" }, line, mark);
    const limit = make("span", { class: "quiet" });
    const button = make("button", { type: "button", "aria-pressed": "true" }, swatch, `σ ${sigma} `, limit);
    button.addEventListener("click", () => {
      if (!view.hidden.delete(i)) view.hidden.add(i);
      button.setAttribute("aria-pressed", String(!view.hidden.has(i)));
      for (const chart of charts) chart.redraw();
    });
    return { button, limit };
  });
  byId("legend").append(...buttons.map(({ button }) => button));
  return () => buttons.forEach(({ limit }, i) => {
    const { limitText, limit: micro } = data.curves[view.k][i];
    limit.textContent = `R_max ${limitText}${micro > data.reach ? ", off the axis" : ""}`;
  });
}

function startCurves() {
  let readout = null;
  const on = { hover: (radius) => readout?.hover(radius), choose: (radius) => readout?.choose(radius) };
  const charts = data.ks.map((_, k) => new Chart(k, view, on));
  byId("figures").append(...charts.map((chart) => chart.figure));
  const limits = legend(charts);
  const choice = byId("curve-k");
  choice.append(...data.ks.map((k, i) => option(i, String(k))));
  byId("curve-k-control").hidden = data.ks.length === 1;
  choice.addEventListener("change", () => {
    view.k = Number(choice.value);
    showChart(charts);
    limits();
    charts[view.k].redraw();
    readout.show();
  });
  for (const chart of charts) chart.redraw();
  showChart(charts);
  limits();
  readout = new Readout(charts, view);
  let width = 0;
  new ResizeObserver(([{ contentRect }]) => {
    if (Math.abs(contentRect.width - width) < 1) return;
    width = contentRect.width;
    charts[view.k].redraw();
    markScrollable();
  }).observe(byId("figures"));
}

async function start() {
  document.documentElement.classList.add("scripted");
  const able = "DecompressionStream" in window;
  byId("outdated").hidden = able;
  if (able) {
    const curves = data.curves.flat();
    const counts = await Promise.all(curves.map((curve) => unpackAll(curve.steps)));
    curves.forEach((curve, i) => { curve.counts = counts[i]; });
  }
  startCurves();
  startClasses();
  if (able) {
    const certificate = new CertificateView();
    await new Images((...place) => certificate.open(...place)).load();
  }
  markScrollable();
  document.documentElement.dataset.ready = "yes";
}

start();
