// Two settings against each other: a table of pictures.

const MOST_ROWS = 200;
const MOST_COLUMNS = 60;
const PICTURES_A_CELL = 4;

/** Settings that can be rows or columns: those in which the shown pictures differ. */
function gridNames(shown) {
  return facts.settings.filter((setting) => setting.for_people && varies(setting, shown)).map(({ name }) => name);
}

function valuesAmong(name, shown) {
  const setting = settings.get(name);
  if (!setting) return [""];
  const places = new Set(shown.map((picture) => placeOf(setting, picture)));
  return [...places].sort((a, b) => a - b).map((place) => setting.values[place]);
}

/** The reader's choice, where it still makes sense; else the setting of most values in the columns, as far as they fit. */
function gridAxes(shown) {
  const names = gridNames(shown);
  const counted = names.map((name) => ({ name, count: valuesAmong(name, shown).length }));
  const fitting = counted.filter(({ name, count }) => count <= LONG_LIST && name !== "prompt" && name !== "experiment");
  const best = [...fitting].sort((a, b) => b.count - a.count);
  const columns = names.includes(state.columns)
    ? state.columns
    : (best.find(({ name }) => name !== state.rows)?.name ?? names[0] ?? "");
  const left = names.filter((name) => name !== columns);
  const rows =
    names.includes(state.rows) && state.rows !== columns
      ? state.rows
      : (left.find((name) => name === "prompt") ?? best.find(({ name }) => name !== columns)?.name ?? left[0] ?? "");
  return { names, rows, columns };
}

function drawGrid(shown) {
  const { rows, columns } = gridAxes(shown);
  if (!columns) {
    return make("p", {
      className: "note",
      textContent: "These pictures differ in no setting: there is nothing to set against each other.",
    });
  }
  const rowValues = valuesAmong(rows, shown);
  const columnValues = valuesAmong(columns, shown);
  const cells = cellsOf(shown, rows, columns);
  const head = columnValues
    .slice(0, MOST_COLUMNS)
    .map((value) => make("th", { scope: "col" }, make("bdi", { textContent: valueText(columns, value) })));
  const body = rowValues
    .slice(0, MOST_ROWS)
    .map((row) =>
      make(
        "tr",
        {},
        make("th", { scope: "row" }, make("bdi", { textContent: rows ? valueText(rows, row) : "" })),
        ...columnValues
          .slice(0, MOST_COLUMNS)
          .map((column) => makeCell(cells.get(JSON.stringify([row, column])) ?? [], { rows, row, columns, column })),
      ),
    );
  const table = make(
    "table",
    { className: "grid" },
    make("thead", {}, make("tr", {}, make("td"), ...head)),
    make("tbody", {}, ...body),
  );
  const scroll = make(
    "div",
    { className: "scroll", tabIndex: 0, role: "region", "aria-label": `${columns} by ${rows}` },
    table,
  );
  return make("div", {}, ...gridNotes(rowValues, columnValues), scroll);
}

function valueText(name, value) {
  return value === absent ? `no ${name}` : labelText({ name, value });
}

function gridNotes(rowValues, columnValues) {
  const cut = [];
  if (rowValues.length > MOST_ROWS) cut.push(`${MOST_ROWS} of ${rowValues.length} rows`);
  if (columnValues.length > MOST_COLUMNS) cut.push(`${MOST_COLUMNS} of ${columnValues.length} columns`);
  return cut.length
    ? [make("p", { className: "note", textContent: `The first ${cut.join(" and ")}: filter to see others.` })]
    : [];
}

function cellsOf(shown, rows, columns) {
  const cells = new Map();
  for (const picture of shown) {
    const key = JSON.stringify([rows ? settingOf(picture, rows) : "", settingOf(picture, columns)]);
    if (!cells.has(key)) cells.set(key, []);
    cells.get(key).push(picture);
  }
  return cells;
}

function makeCell(inCell, where) {
  const several = inCell.length > 1;
  const thumbs = inCell.slice(0, PICTURES_A_CELL).map((picture) =>
    make(
      "button",
      {
        type: "button",
        className: "picture",
        "aria-label": `Open ${describePicture(picture)}`,
        title: titleOf(picture),
        onclick: () => openDetails(picture),
      },
      makeImage(picture),
    ),
  );
  const cell = make("td", {}, make("div", { className: several ? "cell several" : "cell" }, ...thumbs));
  if (inCell.length > PICTURES_A_CELL) {
    cell.append(makeButton(`all ${inCell.length}`, () => showCell(where), { className: "quiet" }));
  }
  return cell;
}

/** The pictures of a cell, in the gallery. */
function showCell({ rows, row, columns, column }) {
  if (rows) state.filters.set(rows, new Set([row]));
  state.filters.set(columns, new Set([column]));
  state.view = "gallery";
  update();
}
