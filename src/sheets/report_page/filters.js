// Which pictures are shown, and in which order; the panel of filters.

/** What the reader has chosen. `filters` has, by setting or measure, a set of values or bounds {from, to}. */
const state = {
  view: "gallery",
  experiment: "",
  search: "",
  filters: new Map(),
  sort: "",
  descending: false,
  size: 200,
  rows: "",
  columns: "",
  selected: [],
};

const LONG_LIST = 12; // values; longer lists can be searched
const LONGEST_LIST = 100;

/** The text in which a search looks, made when it is first asked for. */
function searchText(picture) {
  picture.searchText ??= [
    picture.experiment,
    picture.file,
    picture.id,
    ...facts.settings.map((setting) => {
      const value = setting.values[placeOf(setting, picture)];
      return setting.for_people ? `${setting.name} ${value}` : "";
    }),
  ]
    .join("\n")
    .toLowerCase();
  return picture.searchText;
}

/** A filter of its own for "peak memory" and its kind, else for a setting: a test of one picture. */
function testOf(name, filter) {
  const measure = measures.find((each) => each.name === name);
  const setting = settings.get(name);
  if (filter instanceof Set) {
    const places = new Set([...filter].map((value) => setting.values.indexOf(value)));
    return (picture) => places.has(placeOf(setting, picture));
  }
  const numberOf = measure
    ? (picture) => (measureOf(picture, measure) ?? NaN) / scaleOf(measure)
    : (picture) => Number(settingOf(picture, name));
  return (picture) => numberOf(picture) >= (filter.from ?? -Infinity) && numberOf(picture) <= (filter.to ?? Infinity);
}

/** Bounds of memory are typed in MB. */
function scaleOf(measure) {
  return measure.key === "peak_bytes" ? 1e6 : 1;
}

/** The pictures that pass everything, but for the filter `without`. */
function passing(without) {
  const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
  const tests = [...state.filters].filter(([name]) => name !== without).map(([name, filter]) => testOf(name, filter));
  return pictures.filter(
    (picture) =>
      (!state.experiment || picture.experiment === state.experiment) &&
      tests.every((test) => test(picture)) &&
      words.every((word) => searchText(picture).includes(word)),
  );
}

/** What pictures are sorted by: absent values stand last in both directions. */
function sortKeyOf(name) {
  const measure = measures.find((each) => each.name === name);
  if (measure) return (picture) => measureOf(picture, measure);
  const setting = settings.get(name);
  if (!setting) return (picture) => picture.index;
  return (picture) => {
    const place = placeOf(setting, picture);
    return setting.values[place] === absent ? undefined : place;
  };
}

function sorted(list) {
  const keyOf = sortKeyOf(state.sort);
  const sign = state.descending ? -1 : 1;
  return list
    .map((picture) => ({ picture, key: keyOf(picture) }))
    .sort((a, b) => compareKeys(a.key, b.key, sign) || a.picture.index - b.picture.index)
    .map(({ picture }) => picture);
}

function compareKeys(a, b, sign) {
  if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
  return sign * (a - b);
}

function setFilter(name, filter) {
  const isEmpty = filter instanceof Set ? filter.size === 0 : filter.from === undefined && filter.to === undefined;
  if (isEmpty) state.filters.delete(name);
  else state.filters.set(name, filter);
  update();
}

// --- the panel

/** Settings in which the pictures of the experiment differ, those for people first, and measures. */
function facetNames() {
  const among = state.experiment ? pictures.filter((each) => each.experiment === state.experiment) : pictures;
  const varying = facts.settings.filter((setting) => setting.name !== "experiment" && varies(setting, among));
  return {
    main: varying.filter((setting) => setting.for_people).map(({ name }) => name),
    more: varying.filter((setting) => !setting.for_people).map(({ name }) => name),
    measured: measures.filter((measure) => among.some((each) => measureOf(each, measure))).map(({ name }) => name),
  };
}

let facets = []; // of the panel: each can be refreshed

function drawFacets() {
  const names = facetNames();
  facets = [...names.main, ...names.measured].map((name, place) => makeFacet(name, place < 4));
  const more = names.more.map((name) => makeFacet(name, false));
  const shown = facets.map(({ element }) => element);
  facets.push(...more);
  if (more.length) {
    const summary = make("summary", { textContent: "Digests and scheduler" });
    shown.push(make("details", { className: "more" }, summary, ...more.map(({ element }) => element)));
  }
  byId("facets").replaceChildren(...shown);
}

function makeFacet(name, open) {
  const setting = settings.get(name);
  const numeric = !setting || (isNumeric(setting) && setting.values.length > LONG_LIST);
  const body = numeric ? makeBounds(name, setting) : makeValues(setting);
  const count = make("span", { className: "count" });
  const summary = make("summary", {}, make("span", { textContent: name }), count);
  const element = make("details", { className: "facet", open: open || state.filters.has(name) }, summary, body.element);
  element.ontoggle = () => element.open && body.refresh();
  return {
    element,
    refresh() {
      const filter = state.filters.get(name);
      count.textContent = filter instanceof Set ? String(filter.size) : filter ? "set" : "";
      if (element.open) body.refresh();
    },
  };
}

/** From and to, of a setting with many numbers or of a measure. */
function makeBounds(name, setting) {
  const numbers = (setting?.values ?? []).filter(isNumber).map(Number);
  const field = (key, text, bound) => {
    const input = make("input", { type: "number", step: "any", placeholder: bound ?? "" });
    input.onchange = () => {
      const filter = { ...state.filters.get(name), [key]: input.value === "" ? undefined : Number(input.value) };
      setFilter(name, filter);
    };
    return { input, element: make("label", { className: "field" }, make("span", { textContent: text }), input) };
  };
  const unit = name === "peak memory" ? " MB" : "";
  const from = field("from", `from${unit}`, numbers[0]);
  const to = field("to", `to${unit}`, numbers.at(-1));
  return {
    element: make("div", { className: "bounds" }, from.element, to.element),
    refresh() {
      from.input.value = state.filters.get(name)?.from ?? "";
      to.input.value = state.filters.get(name)?.to ?? "";
    },
  };
}

/** A box for each value, with the number of pictures that it would show. */
function makeValues(setting) {
  const list = make("div", { className: "values" });
  const find = make("input", {
    type: "search",
    placeholder: "Find a value",
    "aria-label": `Find a value of ${setting.name}`,
  });
  const isLong = setting.values.length > LONG_LIST;
  const refresh = () => list.replaceChildren(...valueRows(setting, isLong ? find.value : ""));
  find.oninput = refresh;
  return { element: make("div", {}, ...(isLong ? [find] : []), list), refresh };
}

function valueRows(setting, wanted) {
  const counts = new Array(setting.values.length).fill(0);
  for (const picture of passing(setting.name)) ++counts[placeOf(setting, picture)];
  const chosen = state.filters.get(setting.name) ?? new Set();
  const places = setting.values
    .map((value, place) => place)
    .filter((place) => counts[place] || chosen.has(setting.values[place]))
    .filter((place) => setting.values[place].toLowerCase().includes(wanted.toLowerCase()));
  const rows = places.slice(0, LONGEST_LIST).map((place) => valueRow(setting, place, counts[place], chosen));
  if (places.length > LONGEST_LIST) {
    rows.push(make("p", { className: "hint", textContent: `${places.length - LONGEST_LIST} more: find them above` }));
  }
  return rows;
}

function valueRow(setting, place, count, chosen) {
  const value = setting.values[place];
  const box = make("input", { type: "checkbox", checked: chosen.has(value) });
  box.onchange = () => {
    const next = new Set(chosen);
    if (box.checked) next.add(value);
    else next.delete(value);
    setFilter(setting.name, next);
    focusValue(setting.name, value);
  };
  box.dataset.setting = setting.name;
  box.dataset.value = value;
  const text = make("bdi", { textContent: value === absent ? "none" : value || "empty", title: value });
  return make("label", { className: "value" }, box, text, make("span", { className: "count", textContent: count }));
}

/** The rows are new after every choice: the reader's place is kept. */
function focusValue(name, value) {
  const boxes = [...byId("facets").querySelectorAll("input[type=checkbox]")];
  boxes.find((box) => box.dataset.setting === name && box.dataset.value === value)?.focus();
}

// --- what is filtered, above the pictures

function filterText(name, filter) {
  if (filter instanceof Set)
    return `${name}: ${[...filter].map((value) => (value === absent ? "none" : value)).join(", ")}`;
  const unit = name === "peak memory" ? " MB" : "";
  if (filter.to === undefined) return `${name} from ${filter.from}${unit}`;
  return filter.from === undefined ? `${name} to ${filter.to}${unit}` : `${name} ${filter.from} to ${filter.to}${unit}`;
}

function drawChips() {
  const chips = [...state.filters].map(([name, filter]) => {
    const text = filterText(name, filter);
    return make(
      "button",
      {
        type: "button",
        className: "chip",
        onclick: () => setFilter(name, new Set()),
        "aria-label": `Remove filter ${text}`,
      },
      make("bdi", { textContent: text }),
    );
  });
  if (chips.length > 1 || (chips.length && state.search))
    chips.push(makeButton("Clear all", clearFilters, { className: "quiet" }));
  byId("chips").replaceChildren(...chips);
}

function clearFilters() {
  state.filters.clear();
  state.search = byId("search").value = "";
  update();
}
