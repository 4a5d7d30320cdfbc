// it/s and memory of each device: medians as bars, with the span from least to most.

const CHARTED = measures.filter(({ key }) => key !== "seconds");
const TELLING = ["model", "dtype", "weight storage", "size", "batch size", "scheduler"]; // what speed depends on
const ROW_HEIGHT = 46;
const MOST_BARS = 40;

/** What a bar stands for, apart from its device: the experiment, and what speed depends on as far as it varies there. */
function barName(picture, told) {
  const values = told.map((name) => settingOf(picture, name)).filter((value) => value !== absent);
  return [picture.experiment, ...values].join(" · ");
}

function tellingOf(shown) {
  const byName = new Map();
  for (const { name } of facts.experiments) {
    const own = shown.filter((picture) => picture.experiment === name);
    byName.set(name, own.length ? TELLING.filter((each) => settings.has(each) && varies(settings.get(each), own)) : []);
  }
  return byName;
}

/** By device: bars, each with its name and the measured pictures. */
function groupByDevice(shown) {
  const told = tellingOf(shown);
  const devices = new Map();
  for (const picture of shown) {
    if (!CHARTED.some((measure) => measureOf(picture, measure))) continue;
    const bars = getOrMake(devices, deviceOf(picture), () => new Map());
    getOrMake(bars, barName(picture, told.get(picture.experiment)), () => []).push(picture);
  }
  return devices;
}

function deviceOf(picture) {
  const kind = settingOf(picture, "device");
  return [picture.known.device_model, kind === absent ? "" : `(${kind})`].filter(Boolean).join(" ") || "unknown device";
}

function getOrMake(map, key, makeValue) {
  if (!map.has(key)) map.set(key, makeValue());
  return map.get(key);
}

function summarise(inBar, measure) {
  const values = inBar
    .map((picture) => measureOf(picture, measure))
    .filter(Boolean)
    .sort((a, b) => a - b);
  const middle = values.length / 2;
  const median = values.length % 2 ? values[Math.floor(middle)] : (values[middle - 1] + values[middle]) / 2;
  return values.length ? { least: values[0], most: values.at(-1), median, count: values.length } : undefined;
}

function drawCharts(shown) {
  const figures = [...groupByDevice(shown)].map(([device, bars]) => makeDevice(device, bars));
  if (!figures.length) return make("p", { className: "note", textContent: "Nothing was measured of these pictures." });
  const hint =
    "Bars are medians, lines go from the least to the most of what was measured; the pictures are those of the filters.";
  return make("div", { className: "charts" }, ...figures, make("p", { className: "hint", textContent: hint }));
}

function makeDevice(device, bars) {
  const charts = CHARTED.map((measure) => makeChart(device, measure, bars)).filter(Boolean);
  return make(
    "section",
    { className: "device" },
    make("h2", {}, make("bdi", { textContent: device })),
    make("div", { className: "pair-of-charts" }, ...charts),
  );
}

function makeChart(device, measure, bars) {
  const rows = [...bars].map(([name, inBar]) => ({ name, ...summarise(inBar, measure) })).filter(({ count }) => count);
  if (!rows.length) return undefined;
  const shown = rows.slice(0, MOST_BARS);
  const largest = Math.max(...shown.map(({ most }) => most));
  const title = `${measure.name} on ${device}, ${measure.better}`;
  const svg = makeSvg("svg", { role: "img", "aria-label": title, width: "100%", height: shown.length * ROW_HEIGHT });
  svg.append(...shown.map((row, place) => makeBar(row, place, largest, measure)));
  const caption = make("figcaption", {}, make("b", { textContent: measure.name }), ` ${measure.better}`);
  const left = rows.length - shown.length;
  const note = left ? [make("p", { className: "hint", textContent: `${left} more in the table` })] : [];
  return make("figure", { className: "chart" }, caption, svg, ...note, makeChartTable(measure, rows));
}

/** Lengths in percent of the chart's width, of which the bars leave some for their numbers. */
function makeBar({ name, least, most, median, count }, place, largest, measure) {
  const percent = (value) => `${((80 * value) / largest).toFixed(2)}%`;
  const top = place * ROW_HEIGHT;
  const y = top + 20;
  const row = makeSvg(
    "g",
    {},
    makeSvg(
      "title",
      {},
      `${name}: ${measure.show(median)} (${measure.show(least)} to ${measure.show(most)}, ${count} pictures)`,
    ),
  );
  row.append(
    makeSvg("text", { x: 0, y: top + 14, class: "bar-name" }, name),
    makeSvg("rect", { x: 0, y, width: "80%", height: 14, rx: 3, class: "track" }),
    makeSvg("rect", { x: 0, y, width: percent(median), height: 14, rx: 3, class: "bar-of-chart" }),
  );
  if (most > least)
    row.append(makeSvg("line", { x1: percent(least), x2: percent(most), y1: y + 7, y2: y + 7, class: "span" }));
  row.append(makeSvg("text", { x: "82%", y: y + 12, class: "number" }, measure.show(median)));
  return row;
}

function makeChartTable(measure, rows) {
  const cells = (row) => [
    row.name,
    measure.show(row.median),
    measure.show(row.least),
    measure.show(row.most),
    String(row.count),
  ];
  const body = rows.map((row) => make("tr", {}, ...cells(row).map((text) => make("td", { textContent: text }))));
  const head = ["", "median", "least", "most", "pictures"].map((text) =>
    make("th", { scope: "col", textContent: text }),
  );
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
  return make(
    "details",
    {},
    make("summary", { textContent: "As a table" }),
    make("div", { className: "scroll" }, table),
  );
}
