// Two or more pictures against each other: side by side, under a slider, as their difference.

const MOST_SELECTED = 8;
const comparison = { mode: "slider", left: undefined, right: undefined };

function choosePicture(picture, chosen) {
  state.selected = state.selected.filter((each) => each !== picture);
  if (chosen) state.selected.push(picture);
  const dropped = state.selected.splice(0, Math.max(0, state.selected.length - MOST_SELECTED));
  for (const each of [picture, ...dropped]) markCard(each);
  drawTray();
  say(`${state.selected.length} chosen to compare`);
}

function markCard(picture) {
  const box = cards.get(picture)?.querySelector(".pick input");
  if (!box) return;
  box.checked = state.selected.includes(picture);
  cards.get(picture).classList.toggle("selected", box.checked);
}

function clearSelection() {
  for (const picture of [...state.selected]) choosePicture(picture, false);
}

/** What is chosen, at the bottom of the window. */
function drawTray() {
  const tray = byId("tray");
  tray.hidden = state.selected.length === 0;
  const thumbs = state.selected.map((picture) =>
    make(
      "button",
      {
        type: "button",
        className: "thumb",
        "aria-label": `Do not compare ${describePicture(picture)}`,
        title: "Take out",
        onclick: () => choosePicture(picture, false),
      },
      makeImage(picture, { loading: "eager", alt: "" }),
    ),
  );
  const enough = state.selected.length > 1;
  tray.replaceChildren(
    make("div", { className: "thumbs" }, ...thumbs),
    make("p", { className: "hint", textContent: enough ? "" : "Choose one more" }),
    makeButton(`Compare ${state.selected.length}`, openComparison, { className: "main", disabled: !enough }),
    makeButton("Clear", clearSelection, { className: "quiet" }),
  );
}

function openComparison() {
  [comparison.left, comparison.right] = state.selected;
  comparison.mode = state.selected.length > 2 ? "side" : comparison.mode;
  drawComparison();
  byId("compare").showModal();
}

function drawComparison() {
  const modes = [
    ["side", "Side by side"],
    ["slider", "Slider"],
    ["difference", "Difference"],
  ];
  const choose = (mode) => {
    comparison.mode = mode;
    drawComparison();
    byId("compare").querySelector("[aria-pressed=true]").focus();
  };
  const isPair = comparison.mode !== "side";
  byId("compare").replaceChildren(
    make(
      "div",
      { className: "dialog-bar" },
      make(
        "div",
        { className: "choice", role: "group", "aria-label": "How to compare" },
        ...makeChoice(modes, comparison.mode, choose),
      ),
      ...(isPair && state.selected.length > 2 ? [makeSideSelect("left"), makeSideSelect("right")] : []),
      make("span", { className: "gap" }),
      makeButton("✕", () => byId("compare").close(), { "aria-label": "Close", title: "Close (Escape)" }),
    ),
    make(
      "div",
      { className: "compare-body" },
      isPair ? makePair() : makeSideBySide(),
      isPair
        ? makeDifferences([comparison.left, comparison.right], ["left", "right"])
        : makeDifferences(
            state.selected,
            state.selected.map((_, place) => String(place + 1)),
          ),
    ),
  );
}

function makeSideSelect(side) {
  const options = state.selected.map((picture, place) => [String(place), `${place + 1}: ${titleOf(picture)}`]);
  return makeSelect(side, options, String(state.selected.indexOf(comparison[side])), (place) => {
    comparison[side] = state.selected[Number(place)];
    drawComparison();
  });
}

function makeSideBySide() {
  const figures = state.selected.map((picture, place) => {
    const number = make("b", { textContent: `${place + 1} ` });
    const caption = make("figcaption", {}, number, make("bdi", { textContent: titleOf(picture) }));
    return make("figure", {}, makeImage(picture, { loading: "eager" }), caption);
  });
  return make("div", { className: "side-by-side" }, ...figures);
}

/** Both pictures in one place: the left one in front, cut at the slider or subtracted. */
function makePair() {
  const { left, right, mode } = comparison;
  const stage = make("div", { className: `stage ${mode}` });
  const pair = make("div", { className: "pair" }, stage);
  pair.style.setProperty("--shape", `${left.width || 1} / ${left.height || 1}`);
  pair.style.setProperty("--ratio", (left.width || 1) / (left.height || 1));
  stage.append(makeImage(right, { loading: "eager" }), makeImage(left, { loading: "eager", className: "front" }));
  if (mode === "slider") stage.append(make("div", { className: "line" }), makeSlider(stage));
  const names = make(
    "div",
    { className: "sides" },
    make("bdi", { textContent: titleOf(left) }),
    make("bdi", { textContent: titleOf(right) }),
  );
  pair.append(names);
  return pair;
}

function makeSlider(stage) {
  const move = () => stage.style.setProperty("--cut", `${slider.value}%`);
  const slider = make("input", {
    type: "range",
    min: 0,
    max: 100,
    step: 0.5,
    value: 50,
    "aria-label": "How much of the left picture is shown",
    oninput: move,
  });
  move();
  return slider;
}

/** The settings and measures in which they differ. */
function makeDifferences(compared, heads) {
  const rows = facts.settings
    .filter((setting) => setting.for_people && varies(setting, compared))
    .map(({ name }) => [name, compared.map((picture) => settingOf(picture, name))]);
  for (const measure of measures) {
    const values = compared.map((picture) => measureOf(picture, measure));
    if (values.some(Boolean)) rows.push([measure.name, values.map((value) => (value ? measure.show(value) : absent))]);
  }
  const body = rows.map(([name, values]) =>
    make(
      "tr",
      {},
      make("th", { scope: "row", textContent: name }),
      ...values.map((value) => make("td", {}, make("bdi", { textContent: value }))),
    ),
  );
  const head = heads.map((text) => make("th", { scope: "col", textContent: text }));
  const table = make(
    "table",
    {},
    make("caption", { textContent: "What differs" }),
    make("thead", {}, make("tr", {}, make("td"), ...head)),
    make("tbody", {}, ...body),
  );
  return make("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "What differs" }, table);
}
