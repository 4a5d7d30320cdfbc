// The page as a whole: what is chosen decides what is drawn.

const VIEWS = [
  ["gallery", "Gallery"],
  ["grid", "Grid"],
  ["charts", "Charts"],
];
const gallery = makeGallery();
let shown = [];

function shownPictures() {
  return shown;
}

/** Draws everything anew that depends on the reader's choices. */
function update() {
  shown = sorted(passing());
  drawExperiments();
  drawViews();
  drawTools();
  drawChips();
  for (const facet of facets) facet.refresh();
  byId("count").textContent = countText();
  drawView();
  keepChoices();
}

function countText() {
  const all = pictures.length;
  const word = all === 1 ? "picture" : "pictures";
  return shown.length === all ? `${all} ${word}` : `${shown.length} of ${all} ${word}`;
}

function drawView() {
  const view = byId("view");
  if (!shown.length) {
    const note = make(
      "p",
      { className: "note" },
      "No picture passes these filters. ",
      makeButton("Clear them", clearAll),
    );
    view.replaceChildren(note);
    return;
  }
  if (state.view === "gallery") {
    if (gallery.parentNode !== view) view.replaceChildren(gallery);
    drawGallery(inSections(shown));
  } else {
    view.replaceChildren(state.view === "grid" ? drawGrid(shown) : drawCharts(shown));
  }
}

/** By experiment, as the gallery shows them: so they follow each other in the dialog, too. */
function inSections(list) {
  shown = facts.experiments.flatMap(({ name }) => list.filter((picture) => picture.experiment === name));
  return shown;
}

function clearAll() {
  state.experiment = "";
  clearFilters();
  drawFacets();
  update();
}

function drawExperiments() {
  const nav = byId("experiments");
  nav.hidden = facts.experiments.length < 2;
  const options = [
    ["", `All ${pictures.length}`],
    ...facts.experiments.map((each) => [each.name, `${each.name} ${each.pictures}`]),
  ];
  redrawChoice(nav, options, state.experiment, chooseExperiment);
}

function chooseExperiment(name) {
  state.experiment = name;
  drawFacets();
  update();
}

function drawViews() {
  redrawChoice(byId("views"), VIEWS, state.view, chooseView);
}

function chooseView(view) {
  state.view = view;
  update();
}

/** What belongs to the view: order and size, or rows and columns. */
function drawTools() {
  const tools = byId("tools");
  const focused = [...tools.querySelectorAll("select, button, input")].indexOf(document.activeElement);
  tools.replaceChildren(
    ...(state.view === "charts" ? [] : [...(state.view === "grid" ? gridTools() : sortTools()), makeSizeTool()]),
  );
  if (focused >= 0) tools.querySelectorAll("select, button, input")[focused]?.focus();
}

function sortTools() {
  const names = facetNames();
  const options = [
    ["", "as a sweep"],
    ...[...names.main, ...names.measured, ...names.more].map((name) => [name, name]),
  ];
  const sort = makeSelect("Sort", options, state.sort, (name) => {
    state.sort = name;
    state.descending = measures.find((measure) => measure.name === name)?.key === "it_per_s";
    update();
  });
  const direction = state.descending ? "Descending" : "Ascending";
  const turn = makeButton(
    state.descending ? "↓" : "↑",
    () => {
      state.descending = !state.descending;
      update();
    },
    { "aria-label": `${direction}: turn round`, title: direction },
  );
  return [sort, turn];
}

function gridTools() {
  const { names, rows, columns } = gridAxes(shown);
  const options = names.map((name) => [name, name]);
  const choose = (key, other) => (name) => {
    const before = { rows, columns };
    state[key] = name;
    if (name === before[other]) state[other] = before[key];
    update();
  };
  return names.length < 2
    ? []
    : [
        makeSelect("Rows", options, rows, choose("rows", "columns")),
        makeSelect("Columns", options, columns, choose("columns", "rows")),
      ];
}

function makeSizeTool() {
  const range = make("input", {
    type: "range",
    min: 96,
    max: 512,
    step: 8,
    value: state.size,
    oninput: () => setSize(Number(range.value)),
  });
  return make("label", { className: "field size" }, make("span", { textContent: "Size" }), range);
}

function setSize(size) {
  state.size = size;
  document.documentElement.style.setProperty("--size", `${size}px`);
  fitCells();
  keepChoices();
}

// --- dark and light

const THEMES = { auto: ["◐", "Auto"], dark: ["●", "Dark"], light: ["○", "Light"] };

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  const [sign, name] = THEMES[theme];
  byId("theme").replaceChildren(sign, make("span", { className: "only-wide", textContent: ` ${name}` }));
  byId("theme").setAttribute("aria-label", `Colours: ${name}`);
  store("diffapple-theme", theme);
}

function nextTheme() {
  const names = Object.keys(THEMES);
  setTheme(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
}

/** Where the browser keeps nothing for files, nothing is kept. */
function store(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // as said
  }
}

function stored(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

// --- what is chosen stands behind the page's address, so that it can be sent and survives a reload

function keepChoices() {
  const filters = [...state.filters].map(([name, filter]) => [name, filter instanceof Set ? [...filter] : filter]);
  const { view, experiment, search, sort, descending, size, rows, columns } = state;
  const hash = `#${encodeURIComponent(JSON.stringify({ view, experiment, search, filters, sort, descending, size, rows, columns }))}`;
  try {
    history.replaceState(null, "", hash);
  } catch {
    // too often, or not allowed: the choices still hold
  }
}

/** The address is anyone's: only what this page can choose is taken from it. */
function restoreChoices() {
  const kept = readAddress();
  const isOneOf = {
    view: (value) => VIEWS.some(([view]) => view === value),
    experiment: (value) => facts.experiments.some(({ name }) => name === value),
    search: (value) => typeof value === "string",
    sort: isSortName,
    rows: isSortName,
    columns: isSortName,
    descending: (value) => value === true,
    size: (value) => typeof value === "number" && value >= 96 && value <= 512,
  };
  for (const [key, test] of Object.entries(isOneOf)) if (test(kept[key])) state[key] = kept[key];
  for (const [name, filter] of Array.isArray(kept.filters) ? kept.filters.filter(Array.isArray) : [])
    restoreFilter(name, filter);
}

function readAddress() {
  try {
    return JSON.parse(decodeURIComponent(location.hash.slice(1))) ?? {};
  } catch {
    return {};
  }
}

function isSortName(name) {
  return settings.has(name) || measures.some((measure) => measure.name === name);
}

function restoreFilter(name, filter) {
  const values = settings.get(name)?.values;
  if (Array.isArray(filter) && values) {
    const known = filter.filter((value) => values.includes(value));
    if (known.length) state.filters.set(name, new Set(known));
  } else if (isSortName(name) && filter && typeof filter === "object") {
    const bound = (value) => (Number.isFinite(value) ? value : undefined);
    state.filters.set(name, { from: bound(filter.from), to: bound(filter.to) });
  }
}

// --- the beginning

function onPageKey(event) {
  if (event.key !== "/" || event.target.closest("input, select, dialog")) return;
  event.preventDefault();
  byId("search").focus();
}

/** On paper nothing comes into sight: everything is there and loaded before. */
function setPrinting(printing) {
  isPrinting = printing;
  drawRows();
  if (!printing) return;
  for (const image of document.images) image.loading = "eager";
}

function begin() {
  restoreChoices();
  setTheme(THEMES[stored("diffapple-theme")] ? stored("diffapple-theme") : "auto");
  setSize(state.size);
  byId("theme").onclick = nextTheme;
  byId("search").value = state.search;
  byId("search").oninput = () => {
    state.search = byId("search").value;
    update();
  };
  byId("details").onkeydown = onDetailsKey;
  byId("details").onclose = afterDetails;
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.onclick = (event) => event.target === dialog && dialog.close();
  }
  document.onkeydown = onPageKey;
  window.onbeforeprint = () => setPrinting(true);
  window.onafterprint = () => setPrinting(false);
  window.onscroll = onScroll;
  window.onresize = fitCells;
  document.title = `diffapple report: ${pictures.length} pictures`;
  drawFacets();
  update();
}

begin();
