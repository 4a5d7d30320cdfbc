// The pictures as cards, by experiment. All cards of an experiment have one height: of long galleries only the rows in
// sight are in the document, between paddings in the place of the others. A card is made once, when it is first shown.

const GAP = 14; // pixels between cards, as in page.css
const EVERYTHING = 300; // so many cards are simply there: the browser's own search finds them
const BEYOND = 3; // rows above and below those in sight
const LETTERS_A_LINE = 1 / 6.6; // for each pixel of a card's width
const MOST_LINES = 3; // of a label

const cards = new Map(); // by picture
let sections = []; // {name, element, grid, count, own: its pictures, first and last: its rows in the document, row: their height}
let acrossRow = 1; // cards
let isPrinting = false;

function makeGallery() {
  sections = facts.experiments.map((experiment) => {
    const grid = make("div", { className: "cards" });
    const count = make("span", { className: "count" });
    const heading = make("h2", { textContent: experiment.name }, " ", count);
    const shared = make(
      "p",
      { className: "shared" },
      make("bdi", { textContent: experiment.shared.replace(`${experiment.name}, `, "") }),
    );
    return {
      name: experiment.name,
      element: make("section", {}, heading, shared, grid),
      grid,
      count,
      own: [],
      first: 0,
      last: 0,
      row: 1,
    };
  });
  return make("div", { className: "gallery", onkeydown: moveInGallery }, ...sections.map(({ element }) => element));
}

/** As many cards side by side as fit, at least two on a phone. */
function fitCells() {
  const width = gallery.clientWidth;
  if (!width) return;
  acrossRow = Math.max(width < 600 ? 2 : 1, Math.floor((width + GAP) / (state.size + GAP)));
  const cell = (width - GAP * (acrossRow - 1)) / acrossRow;
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  gallery.style.setProperty("--columns", acrossRow);
  gallery.style.setProperty("--cell", `${cell}px`);
  for (const section of sections) {
    const lines = linesOf(section.name, cell);
    section.row = Math.ceil(cell + (lines * 1.22 + 2.9) * rem);
    section.grid.style.setProperty("--lines", lines);
    section.grid.style.setProperty("--row", `${section.row}px`);
  }
  drawRows();
}

/** Lines that the longest label of an experiment takes: up to three. */
function linesOf(name, cell) {
  const own = facts.experiments.find((experiment) => experiment.name === name);
  const longest = own.labels.reduce((sum, label) => {
    const value = Math.max(...label.values.map((text) => text.length));
    return sum + value + (label.name === "prompt" ? 2 : label.name.length + 3);
  }, 0);
  return Math.min(MOST_LINES, Math.max(1, Math.ceil(longest / ((cell - 24) * LETTERS_A_LINE))));
}

/** Shows these pictures, in this order, and no others. */
function drawGallery(list) {
  for (const section of sections) {
    section.own = list.filter((picture) => picture.experiment === section.name);
    section.element.hidden = section.own.length === 0;
    section.count.textContent = section.own.length;
  }
  fitCells();
}

/** Brings the rows in sight into the document. */
function drawRows() {
  for (const section of sections) drawRowsOf(section);
  const current = document.querySelector(".card .picture[tabindex='0']");
  const first = document.querySelector(".card");
  if (!current && first) setCurrent(first);
}

function drawRowsOf(section) {
  const { grid, own, row } = section;
  const rows = Math.ceil(own.length / acrossRow);
  const [first, last] = rowsInSight(section, rows);
  grid.style.paddingTop = `${first * (row + GAP)}px`;
  grid.style.paddingBottom = `${(rows - last) * (row + GAP)}px`;
  showCards(grid, own.slice(first * acrossRow, last * acrossRow).map(cardOf));
}

function rowsInSight({ grid, row }, rows) {
  if (isPrinting || shownPictures().length <= EVERYTHING) return [0, rows];
  const above = -grid.getBoundingClientRect().top;
  const clamp = (place) => Math.min(rows, Math.max(0, place));
  const first = clamp(Math.floor(above / (row + GAP)) - BEYOND);
  return [first, Math.max(first, clamp(Math.ceil((above + innerHeight) / (row + GAP)) + BEYOND))];
}

/** Those that stay are not touched: one of them may have the focus. */
function showCards(grid, wanted) {
  const staying = new Set(wanted);
  for (const card of [...grid.children]) if (!staying.has(card)) card.remove();
  let next = grid.firstChild;
  for (const card of wanted) {
    if (card === next) next = next.nextSibling;
    else grid.insertBefore(card, next);
  }
}

let isScrolling = false;

/** At most once for each picture of the screen. */
function onScroll() {
  if (isScrolling || !gallery.isConnected) return;
  isScrolling = true;
  requestAnimationFrame(() => {
    isScrolling = false;
    drawRows();
  });
}

function cardOf(picture) {
  if (!cards.has(picture)) cards.set(picture, makeCard(picture));
  return cards.get(picture);
}

function makeCard(picture) {
  const open = make(
    "button",
    {
      type: "button",
      className: "picture",
      tabIndex: -1,
      "aria-label": `Open ${describePicture(picture)}`,
      onclick: () => openDetails(picture),
    },
    makeImage(picture),
  );
  const labels = make(
    "p",
    { className: "labels", title: titleOf(picture) },
    make("bdi", { textContent: titleOf(picture) }),
  );
  const card = make(
    "article",
    { className: "card" },
    open,
    makePick(picture),
    labels,
    make("p", { className: "measured", textContent: measuredText(picture) }),
  );
  card.picture = picture;
  card.classList.toggle("selected", state.selected.includes(picture));
  return card;
}

function measuredText(picture) {
  const rate = measureOf(picture, measures[0]);
  const memory = measureOf(picture, measures[1]);
  return [rate && `${measures[0].show(rate)} it/s`, memory && measures[1].show(memory)].filter(Boolean).join(" · ");
}

/** The box by which a picture is chosen to compare. */
function makePick(picture) {
  const box = make("input", {
    type: "checkbox",
    tabIndex: -1,
    checked: state.selected.includes(picture),
    "aria-label": `Compare ${describePicture(picture)}`,
    onchange: () => choosePicture(picture, box.checked),
  });
  return make("label", { className: "pick", title: "Compare (C)" }, box);
}

// --- the keyboard: one card can be reached by Tab, the others by arrows

function setCurrent(card) {
  for (const old of document.querySelectorAll(".card [tabindex='0']")) old.tabIndex = -1;
  for (const each of card.querySelectorAll(".picture, .pick input")) each.tabIndex = 0;
}

/** Brings a picture's card into the document and into sight. */
function focusCard(picture) {
  const section = sections.find(({ own }) => own.includes(picture));
  if (!section) return;
  if (!cardOf(picture).isConnected) {
    const row = Math.floor(section.own.indexOf(picture) / acrossRow);
    const top = section.grid.getBoundingClientRect().top + scrollY + row * (section.row + GAP);
    scrollTo(0, top - innerHeight / 3);
    drawRows();
  }
  setCurrent(cardOf(picture));
  cardOf(picture).querySelector(".picture").focus();
}

function moveInGallery(event) {
  const card = event.target.closest?.(".card");
  if (!card || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "c" || event.key === "C") {
    card.querySelector(".pick input").click();
    return;
  }
  const next = pictureTowards(card.picture, event.key);
  if (!next) return;
  event.preventDefault();
  focusCard(next);
}

/** The picture that a key leads to. */
function pictureTowards(picture, key) {
  const list = shownPictures();
  const place = list.indexOf(picture);
  switch (key) {
    case "ArrowRight":
      return list[place + 1];
    case "ArrowLeft":
      return list[place - 1];
    case "ArrowDown":
      return pictureInRow(picture, 1);
    case "ArrowUp":
      return pictureInRow(picture, -1);
    case "Home":
      return list[0];
    case "End":
      return list.at(-1);
  }
  return undefined;
}

/** In the same column of the next row, which may be another experiment's. */
function pictureInRow(picture, step) {
  const filled = sections.filter(({ own }) => own.length);
  const at = filled.findIndex(({ own }) => own.includes(picture));
  const { own } = filled[at];
  const place = own.indexOf(picture);
  const row = Math.floor(place / acrossRow) + step;
  const column = place % acrossRow;
  if (row >= 0 && row * acrossRow < own.length) return own[Math.min(row * acrossRow + column, own.length - 1)];
  const next = filled[at + step]?.own;
  if (!next) return undefined;
  const first = step > 0 ? 0 : Math.floor((next.length - 1) / acrossRow) * acrossRow;
  return next[Math.min(first + column, next.length - 1)];
}
