// Elements of the page. Texts become text nodes and attributes, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with properties (`className`, `onclick`), attributes (names with a hyphen, role, for) and children. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

function makeSvg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function byId(id) {
  return document.getElementById(id);
}

function makeButton(text, onclick, properties = {}) {
  return make("button", { type: "button", textContent: text, onclick, ...properties });
}

/** A group of buttons of which one is pressed. `options` are [value, text] pairs. */
function makeChoice(options, chosen, onchoose) {
  return options.map(([value, text]) =>
    makeButton(text, () => onchoose(value), { "aria-pressed": String(value === chosen) }),
  );
}

/** The same in `group`, where the button that has the focus keeps it. */
function redrawChoice(group, options, chosen, onchoose) {
  const focused = [...group.children].indexOf(document.activeElement);
  group.replaceChildren(...makeChoice(options, chosen, onchoose));
  group.children[focused]?.focus();
}

/** A labelled list to choose from. */
function makeSelect(label, options, chosen, onchoose) {
  const select = make("select", { onchange: () => onchoose(select.value) });
  for (const [value, text] of options) select.append(make("option", { value, textContent: text }));
  select.value = chosen;
  select.setAttribute("aria-label", label);
  return make("label", { className: "field" }, make("span", { textContent: label }), select);
}

/** A picture as it is shown small or large: loaded when it comes near. Small ones are enlarged without blur. */
function makeImage(picture, properties = {}) {
  const image = make("img", {
    alt: describePicture(picture),
    loading: "lazy",
    decoding: "async",
    width: picture.width || 1,
    height: picture.height || 1,
    ...properties,
  });
  if (Math.max(picture.width, picture.height) <= 128) image.classList.add("small");
  image.onerror = () => image.classList.add("missing");
  image.src = picture.url;
  return image;
}

/** A table of two columns, name and value. */
function makeFacts(rows) {
  const list = make("dl", { className: "facts" });
  for (const [name, value] of rows) {
    list.append(make("dt", { textContent: name }), make("dd", {}, make("bdi", { textContent: value })));
  }
  return list;
}

/** Says something to those who do not see. */
function say(text) {
  byId("said").textContent = text;
}

/** Text to copy, with its button. */
function makeCopyable(title, text) {
  const code = make("code", { textContent: text, tabIndex: 0 });
  const button = makeButton("Copy", () => copy(text, code, button), { "aria-label": `Copy: ${title}` });
  return make("div", { className: "command" }, make("h3", { textContent: title }), button, make("pre", {}, code));
}

async function copy(text, code, button) {
  const done = (await copyByClipboard(text)) || copyBySelection(code);
  button.textContent = done ? "Copied" : "Press Ctrl+C";
  say(button.textContent);
  setTimeout(() => (button.textContent = "Copy"), 2000);
}

async function copyByClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // not allowed here
  }
}

/** Selects the text, so that it can be copied by hand where no script may. */
function copyBySelection(code) {
  getSelection().selectAllChildren(code);
  return document.execCommand("copy");
}
