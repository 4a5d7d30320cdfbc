// One picture, large, with all that is known of it.

let opened; // the picture in the dialog

function openDetails(picture) {
  opened = picture;
  if (!byId("details").open) byId("details").showModal();
  drawDetails();
}

function drawDetails() {
  const dialog = byId("details");
  const focused = document.activeElement?.dataset?.keep;
  const image = makeImage(opened, { loading: "eager" });
  dialog.replaceChildren(
    makeDetailsBar(),
    make("div", { className: "details-body" }, make("figure", { className: "large" }, image), makeSheet(opened)),
  );
  (dialog.querySelector(`[data-keep='${focused}']`) ?? dialog.querySelector("[data-keep=next]")).focus();
  dialog.querySelector(".details-body").scrollTop = 0;
}

function makeDetailsBar() {
  const shown = shownPictures();
  const place = shown.indexOf(opened);
  const step = (text, name, distance) => {
    const button = makeButton(text, () => stepDetails(distance), { "aria-label": name, title: name });
    button.dataset.keep = distance < 0 ? "previous" : "next";
    return button;
  };
  const picked = state.selected.includes(opened);
  const pick = makeButton(picked ? "✓ Compare" : "Compare", () => pickOpened(), {
    "aria-pressed": String(picked),
  });
  pick.dataset.keep = "pick";
  return make(
    "div",
    { className: "dialog-bar" },
    step("←", "Previous picture", -1),
    step("→", "Next picture", 1),
    make("p", { className: "place", textContent: place < 0 ? "" : `${place + 1} of ${shown.length}` }),
    pick,
    makeFileLink(opened),
    makeButton("✕", () => byId("details").close(), { "aria-label": "Close", title: "Close (Escape)" }),
  );
}

function pickOpened() {
  choosePicture(opened, !state.selected.includes(opened));
  drawDetails();
}

/** To the file beside the page; a picture inside it is saved. */
function makeFileLink(picture) {
  const link = make("a", { href: picture.url, textContent: "Open", className: "button" });
  if (picture.url.startsWith("data:")) {
    link.textContent = "Save";
    link.download = picture.file.split("/").at(-1);
  } else {
    link.target = "_blank";
    link.rel = "noopener";
  }
  return link;
}

function stepDetails(distance) {
  const shown = shownPictures();
  const next = shown[shown.indexOf(opened) + distance];
  if (!next) return;
  opened = next;
  drawDetails();
}

/** Settings, measures and commands. */
function makeSheet(picture) {
  const rows = facts.settings
    .map((setting) => [setting, settingOf(picture, setting.name)])
    .filter(([, value]) => value !== absent);
  const of = (forPeople) =>
    rows.filter(([each]) => each.for_people === forPeople).map(([each, value]) => [each.name, value]);
  const rest = make("details", {}, make("summary", { textContent: "Digests, scheduler and versions" }));
  rest.append(makeFacts([["id", picture.id], ...of(false), ...knownRows(picture)]));
  return make(
    "div",
    { className: "sheet" },
    make("h2", {}, make("bdi", { textContent: titleOf(picture) })),
    makeMeasures(picture),
    makeFacts(of(true)),
    ...makeCommands(picture),
    rest,
    make("p", { className: "file" }, make("bdi", { textContent: picture.file })),
  );
}

function makeMeasures(picture) {
  const tiles = measures
    .map((measure) => [measure.name, measureOf(picture, measure), measure])
    .filter(([, value]) => value !== undefined)
    .map(([name, value, measure]) =>
      make(
        "div",
        { className: "tile" },
        make("b", { textContent: measure.show(value) }),
        make("span", { textContent: name }),
      ),
    );
  return make("div", { className: "tiles" }, ...tiles);
}

function knownRows(picture) {
  const measured = measures.map(({ key }) => key);
  return Object.entries(picture.known)
    .filter(([key]) => !measured.includes(key))
    .map(([key, value]) => [key.replaceAll("_", " "), String(value)]);
}

function makeCommands(picture) {
  const commands = [];
  if (picture.command) commands.push(makeCopyable("Make it again", picture.command));
  if (/ (IMAGE|MASK|LATENTS|MODEL|CONFIG|VAE)( |$)/.test(picture.command ?? "")) {
    const text = "Words in capitals stand for files and models of yours: a recipe knows them by digest or name.";
    commands.push(make("p", { className: "hint", textContent: text }));
  }
  if (picture.replay) commands.push(makeCopyable("Make it again and compare", picture.replay));
  return commands;
}

function onDetailsKey(event) {
  if (event.target.closest("pre, input, select")) return;
  if (event.key === "ArrowLeft") stepDetails(-1);
  else if (event.key === "ArrowRight") stepDetails(1);
  else if (event.key === "c" || event.key === "C") pickOpened();
  else return;
  event.preventDefault();
}

/** The reader goes on where the dialog ended. */
function afterDetails() {
  if (state.view === "gallery") focusCard(opened);
}
