// The facts that the program has written into the page, and what they are called. All texts are strangers': they are
// shown as text (elements.js) and nowhere else.

const facts = JSON.parse(document.getElementById("facts").textContent);

/** What is measured of a picture, beside its settings. */
const measures = [
  { name: "it/s", key: "it_per_s", show: (rate) => significant(rate), better: "more is better" },
  { name: "peak memory", key: "peak_bytes", show: showBytes, better: "less is better" },
  { name: "seconds", key: "seconds", show: (seconds) => `${significant(seconds)} s`, better: "less is better" },
];

const absent = "-"; // the value of a setting that a picture lacks

/** As the program writes numbers: three digits that count. */
function significant(number) {
  return String(Number(number.toPrecision(3)));
}

function showBytes(bytes) {
  return bytes >= 1e9 ? `${significant(bytes / 1e9)} GB` : `${Math.round(bytes / 1e6)} MB`;
}

/** Settings by their names, each with its values in order and the place of every picture's value among them. */
const settings = new Map(facts.settings.map((setting) => [setting.name, setting]));

function settingOf(picture, name) {
  const setting = settings.get(name);
  return setting ? setting.values[placeOf(setting, picture)] : absent;
}

/** Where a picture's value stands among those of a setting. */
function placeOf(setting, picture) {
  return setting.value_of ? setting.value_of[picture.index] : 0;
}

function measureOf(picture, measure) {
  const value = picture.known[measure.key];
  return typeof value === "number" && value > 0 ? value : undefined;
}

/** The pictures in the order of their experiments, each with the labels that tell it from the others of its own. */
const pictures = readPictures();

function readPictures() {
  const read = [];
  for (const experiment of facts.experiments) {
    for (let place = 0; place < experiment.pictures; ++place) {
      const index = read.length;
      read.push({ ...facts.pictures[index], index, experiment: experiment.name, labels: labelsOf(experiment, place) });
    }
  }
  return read;
}

function labelsOf(experiment, place) {
  return experiment.labels
    .map(({ name, values, value_of }) => ({ name, value: values[value_of ? value_of[place] : 0] }))
    .filter(({ value }) => value !== absent && value !== "");
}

/** "guidance 4, seed 1"; a prompt speaks for itself. */
function labelText({ name, value }) {
  return name === "prompt" ? value : `${name} ${value}`;
}

function titleOf(picture) {
  return picture.labels.map(labelText).join(", ") || picture.file;
}

function describePicture(picture) {
  const prompt = settingOf(picture, "prompt");
  const named = picture.labels.some(({ name }) => name === "prompt") || prompt === absent;
  return [picture.experiment, ...(named ? [] : [prompt]), titleOf(picture)].join(", ");
}

function isNumber(text) {
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text);
}

/** Whether a setting's values are numbers, where it has any. */
function isNumeric(setting) {
  return setting.values.every((value) => value === absent || isNumber(value));
}

/** In how many values the pictures differ. */
function varies(setting, among) {
  const first = placeOf(setting, among[0] ?? pictures[0]);
  return among.some((picture) => placeOf(setting, picture) !== first);
}
