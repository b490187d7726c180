// The list of items: which are shown, in what order, and as a file.

// The page's data: see Items in harness/show/report/model.py for what each place of a row holds.
const data = JSON.parse($("data").textContent);
const SIZE = 10;
const [ID, SOURCE, SLICE, QUESTION, RESPONSES, LABEL, IMAGES, GAIN, FIGURES, ANSWERS, MARKED] = Array(11).keys();
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const pairwise = data.kind.startsWith("pair");
const isCompared = data.sides.length > 1;
// the baseline is read first, as it is named first; data has the candidate first
const SIDES = data.sides.map((_, place) => place).reverse();
const nameOf = (side) => data.sides[side].name;
const english = (number) => number.toLocaleString("en");

/** A text of the data: its own direction, cut off from what stands around it. */
const said = (tag, name, place) => make(tag, name, data.texts[place], { dir: "auto" });

/** Whether an item has an image, or would have one if the page could show it. */
const hasPicture = (item) => item[IMAGES].length > 0 || data.no_image !== "";

function picture(place, name) {
  if (place === undefined || place < 0) return make("span", `${name} none`, "no image", { title: data.no_image });
  return make("img", name, null, { src: data.images[place], alt: "", loading: "lazy", decoding: "async" });
}

// ---- what a side said of an item, in short

const glyph = (answer) => (answer[4] === true ? "✓" : answer[4] === false ? "✗" : "–");
const tone = (answer) => (answer[4] === true ? "right" : answer[4] === false ? "wrong" : "unread");

function outcome(item, side) {
  const cell = make("td", "outcome");
  const answers = item[ANSWERS][side];
  if (!answers.length) return put(cell, "–");
  if (!pairwise) return put(cell, [...new Set(answers.map((answer) => answer[3]))].join(", "));
  const right = answers.filter((answer) => answer[4] === true).length;
  const unread = answers.filter((answer) => answer[4] === null).length;
  if (answers.length <= 4) {
    for (const answer of answers) cell.append(make("span", tone(answer), glyph(answer), { "aria-hidden": "true" }));
    cell.append(make("span", "unseen", `${right} of ${answers.length} right`));
  } else {
    cell.append(make("span", right * 2 > answers.length ? "right" : right * 2 < answers.length ? "wrong" : "", right));
    cell.append(make("span", "quiet", `/${answers.length}`));
  }
  if (unread) cell.append(make("span", "unread small", `${unread} unread`));
  return cell;
}

/** Whether an order decides: within a seed, the orders prefer different responses. */
function inconsistent(item, side) {
  const first = new Map();
  for (const [seed, , , verdict] of item[ANSWERS][side]) {
    if (!first.has(seed)) first.set(seed, verdict);
    else if (first.get(seed) !== verdict) return true;
  }
  return false;
}

// ---- outcomes that can be chosen; `standing` is that of harness/show/report/items.py

function standing(item) {
  if (item[GAIN] === null) return "unknown";
  if (!pairwise) return item[GAIN] > 0 ? "candidate" : item[GAIN] < 0 ? "baseline" : "both";
  const [candidate, baseline] = item[FIGURES].map((figure) => figure > 0.5);
  return candidate && baseline ? "both" : candidate ? "candidate" : baseline ? "baseline" : "neither";
}

const OUTCOMES = [["all", "all", () => true]];
if (isCompared) {
  const only = pairwise ? (side) => `only ${nameOf(side)} is right` : (side) => `${nameOf(side)} is nearer`;
  OUTCOMES.unshift(
    ["apart", pairwise ? "only one of them is right" : "one of them is nearer", (item) => ["candidate", "baseline"].includes(standing(item))],
    ["candidate", only(0), (item) => standing(item) === "candidate"],
    ["baseline", only(1), (item) => standing(item) === "baseline"],
  );
  OUTCOMES.push(["both", pairwise ? "both are right" : "they are as near", (item) => standing(item) === "both"]);
  if (pairwise) {
    OUTCOMES.push(["neither", "neither is right", (item) => standing(item) === "neither"]);
    OUTCOMES.push(["differ", "their scores differ", (item) => item[GAIN] !== null && item[GAIN] !== 0]);
  }
}
if (pairwise) {
  for (const side of SIDES) {
    const role = data.sides[side].role;
    OUTCOMES.push(
      [`${role}-wrong`, `${nameOf(side)} is mostly wrong`, (item) => item[FIGURES][side] !== null && item[FIGURES][side] < 0.5],
      [`${role}-order`, `${nameOf(side)}: the order decides`, (item) => inconsistent(item, side)],
    );
  }
}
OUTCOMES.push(["unread", "an answer could not be read", (item) => item[ANSWERS].some((answers) => answers.some((answer) => answer[3] === "unparsed"))]);

// ---- which items are shown, in what order

const COLUMNS = [
  ["source", "item", (item) => item[SOURCE]],
  ["slice", "slice", (item) => data.slices[item[SLICE]]],
  ...SIDES.map((side) => [data.sides[side].role, nameOf(side), (item) => item[FIGURES][side]]),
];
if (isCompared) COLUMNS.push(["gain", pairwise ? "difference" : "nearer by", (item) => item[GAIN] && Math.abs(item[GAIN])]);

let lowered = null;

/** Choose and order the items that a state asks for. */
function chosen({ search, slice, outcome: key, sort, down }) {
  const sought = search.trim().toLowerCase();
  const [, , passes] = OUTCOMES.find(([known]) => known === key);
  let holds = () => true;
  if (sought) {
    lowered ??= data.texts.map((text) => text.toLowerCase());
    const hit = lowered.map((text) => text.includes(sought));
    holds = (item) =>
      item[SOURCE].toLowerCase().includes(sought) ||
      hit[item[QUESTION]] ||
      item[RESPONSES].some((text) => hit[text]) ||
      item[ANSWERS].some((answers) => answers.some((answer) => hit[answer[6]]));
  }
  const found = data.rows.map((_, place) => place).filter((place) => {
    const item = data.rows[place];
    return (slice === "" || data.slices[item[SLICE]] === slice) && passes(item) && holds(item);
  });
  const column = COLUMNS.find(([known]) => known === sort);
  if (!column) return found;
  const [, , value] = column;
  return found.sort((a, b) => {
    const [one, other] = [value(data.rows[a]), value(data.rows[b])];
    if (one === other) return a - b;
    if (one === null || other === null) return one === null ? 1 : -1;
    return (one < other ? -1 : 1) * (down ? -1 : 1);
  });
}

function heads({ sort, down }) {
  const cells = [make("td", "picture")];
  for (const [key, text] of COLUMNS) {
    const head = make("th", key === "slice" || key === "gain" ? "wide" : "", null, { scope: "col" });
    if (sort === key) head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const button = make("button", "sort", text, { type: "button", title: text, "data-key": key });
    button.addEventListener("click", () => {
      // a figure shows its lowest first, a difference its largest
      go({ sort: key, down: state.sort === key ? !state.down : key === "gain", page: 1 });
      document.querySelector(`[data-key="${key}"]`).focus();
    });
    head.append(button);
    cells.push(head);
  }
  $("heads").replaceChildren(...cells);
}

function number(value, signed) {
  if (value === null) return "–";
  const text = pairwise ? (100 * value).toFixed(0) : value.toFixed(2);
  return signed && value > 0 ? `+${text}` : text.replace("-", "−");
}

function line(place) {
  const item = data.rows[place];
  const row = make("tr");
  const pictured = make("td", "picture");
  if (hasPicture(item)) pictured.append(picture(item[IMAGES][0], "thumb"));
  const asked = make("th", "asked", null, { scope: "row" });
  const button = said("button", "open", item[QUESTION]);
  button.type = "button";
  button.addEventListener("click", () => go({ item: addressOf(item) }));
  const about = make("span", "about");
  about.append(make("bdi", "", item[SOURCE]), make("span", "narrow", ` · ${data.slices[item[SLICE]]}`), ` · label ${item[LABEL]}`);
  asked.append(button, about);
  row.append(pictured, asked, make("td", "wide", data.slices[item[SLICE]]));
  for (const side of SIDES) row.append(outcome(item, side));
  if (isCompared) row.append(make("td", `wide ${item[GAIN] > 0 ? "right" : item[GAIN] < 0 ? "wrong" : "quiet"}`, number(item[GAIN], true)));
  return row;
}

let shown = [];

/** Show a page of the list. */
function list() {
  shown = chosen(state);
  const pages = Math.max(1, Math.ceil(shown.length / SIZE));
  const page = Math.min(state.page, pages);
  const start = (page - 1) * SIZE;
  const end = Math.min(start + SIZE, shown.length);
  heads(state);
  $("rows").replaceChildren(...shown.slice(start, end).map(line));
  const of = english(data.rows.length);
  $("count").textContent = shown.length === data.rows.length ? `${of} items` : `${english(shown.length)} of ${of} items`;
  $("place").textContent = shown.length ? `${english(start + 1)}–${english(end)}` : "none";
  $("previous").disabled = page === 1;
  $("next").disabled = page === pages;
  $("table").hidden = false;
}

// ---- as a file

/** An item as plain data, with the whole texts that the page holds. */
function record(item) {
  const texts = (place) => (place < 0 ? null : data.texts[place]);
  return {
    task: data.task,
    item_id: item[ID],
    source_id: item[SOURCE],
    slice: data.slices[item[SLICE]],
    question: texts(item[QUESTION]),
    responses: item[RESPONSES].map(texts),
    label: item[LABEL],
    runs: SIDES.map((side) => ({
      run: data.sides[side].run,
      name: nameOf(side),
      role: data.sides[side].role,
      figure: item[FIGURES][side],
      answers: item[ANSWERS][side].map(([seed, order, repeat, verdict, right, p_first, text]) =>
        ({ seed, order, repeat, verdict, right, p_first, text: texts(text) })),
    })),
  };
}

// No cell is a formula in a spreadsheet, also behind another locale's separator: as harness/sheets/formats.py does.
const noFormula = (text) =>
  text.trim().split(/\s+/u).join(" ").replace(HIDDEN, spelled).replace(/(^|[;,"])(\s*)(?=[=+\-@＝＋－＠])/gu, "$1$2'");
const cell = (value) => (typeof value === "number" ? String(value) : value === null ? "" : `"${noFormula(value).replaceAll('"', '""')}"`);

function csv(items) {
  const most = Math.max(0, ...items.map((item) => item[RESPONSES].length));
  const responses = [...LETTERS].slice(0, most);
  const header = ["item_id", "source_id", "slice", "question", ...responses.map((letter) => `response ${letter}`), "label"];
  for (const side of SIDES) header.push(`${nameOf(side)}: figure`, `${nameOf(side)}: verdicts`, `${nameOf(side)}: first answer`);
  const rows = items.map(record).map((one) => [
    one.item_id, one.source_id, one.slice, one.question, ...responses.map((_, i) => one.responses[i] ?? null), one.label,
    ...one.runs.flatMap(({ figure, answers }) =>
      [figure, answers.map(({ verdict }) => verdict).join(" "), answers.length ? answers[0].text : null]),
  ]);
  return [header, ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
}

function download(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = make("a", "", null, { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

// One line an item, also for readers to whom these characters end a line.
const jsonLine = (item) =>
  `${JSON.stringify(record(item)).replace(/[\u0080-\u009f\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)}\n`;

const items = () => shown.map((place) => data.rows[place]);
$("jsonl").addEventListener("click", () =>
  download(`${data.task}-items.jsonl`, "application/jsonl", items().map(jsonLine).join("")));
$("csv").addEventListener("click", () => download(`${data.task}-items.csv`, "text/csv", csv(items())));
