// One item, whole: what was asked, and both judges' answers side by side.

/** Show an item in the dialog; `position` is its place in the list, or -1 where the list has it not. */
function show(item, position) {
  const title = whole("h3", "", item, item[QUESTION]);
  title.id = "dialog-title";
  const about = make("p", "about");
  about.append(make("bdi", "", item[SOURCE]), ` · ${data.slices[item[SLICE]]} · label ${item[LABEL]}`);
  const heading = make("div");
  heading.append(title, about, responses(item));
  const top = make("div", "top");
  // marked images stand where they are said
  if (!item[MARKED] && hasPicture(item)) top.append(picture(item[IMAGES][0], "image"));
  top.append(heading);
  const raw = make("details", "raw");
  raw.append(make("summary", "", "The item as JSON"));
  raw.addEventListener("toggle", () => {
    if (raw.open && !raw.querySelector("pre")) raw.append(make("pre", "", json(item), { tabindex: "0" }));
  });
  $("dialog-body").replaceChildren(top, exchanges(item), prompts(item), raw);
  $("dialog-place").textContent = position < 0 ? "not in the list" : `${english(position + 1)} of ${english(shown.length)}`;
  $("before").disabled = position <= 0;
  $("after").disabled = position < 0 || position === shown.length - 1;
  $("copied").textContent = "";
  if (!$("dialog").open) $("dialog").showModal();
  $("dialog").scrollTop = 0;
}

// a mark in a text says where an image of its item stands: harness/records/content.py
const MARK = /<image_(\d+)>/g;

/** A text of an item with its marked images in their places. */
function whole(tag, name, item, place) {
  if (!item[MARKED]) return said(tag, name, place);
  const box = make(tag, name, null, { dir: "auto" });
  let end = 0;
  for (const found of data.texts[place].matchAll(MARK)) {
    const image = Number(found[1]);
    if (image >= item[IMAGES].length) continue;
    box.append(data.texts[place].slice(end, found.index), picture(item[IMAGES][image], "marked"));
    end = found.index + found[0].length;
  }
  box.append(data.texts[place].slice(end));
  return box;
}

const json = (item) => JSON.stringify(record(item), null, 1);

function responses(item) {
  const box = make("div", "responses");
  item[RESPONSES].forEach((text, place) => {
    const card = make("div", "response");
    const preferred = (pairwise || data.kind === "best") && item[LABEL].split(", ").includes(LETTERS[place]);
    card.append(make("h4", "", `Response ${LETTERS[place] ?? place + 1}${preferred ? ", the label" : ""}`), whole("p", "text", item, text));
    if (preferred) card.classList.add("preferred");
    box.append(card);
  });
  return box;
}

/** The answers, each beside the other judge's to the same question in the same order. */
function exchanges(item) {
  const box = make("div", "exchanges");
  const heads = make("div", "beside");
  for (const side of SIDES) heads.append(sideHead(item, side));
  box.append(heads);
  const keyOf = ([seed, order, repeat]) => JSON.stringify([seed, order, repeat]);
  const given = item[ANSWERS].map((answers) => new Map(answers.map((answer) => [keyOf(answer), answer])));
  const keys = new Set(SIDES.flatMap((side) => [...given[side].keys()]));
  const seeded = data.sides.some((side) => side.seeds.length > 1);
  for (const key of keys) {
    const [seed, order, repeat] = JSON.parse(key);
    const known = [];
    if (seeded) known.push(`seed ${seed}`);
    if (order.length > 1) known.push(`shown ${order.split("").join(", ")}`);
    if (repeat) known.push(`repeat ${repeat}`);
    if (known.length) box.append(make("p", "asked-how", known.join(" · ")));
    const texts = data.sides.map((_, side) => textOf(given[side].get(key)));
    const row = make("div", "beside");
    for (const side of SIDES) row.append(answerOf(given[side].get(key), side, isCompared ? texts[1 - side] : null));
    box.append(row);
  }
  return box;
}

const textOf = (answer) => (answer && answer[6] >= 0 ? data.texts[answer[6]] : null);

function sideHead(item, side) {
  const { role, name } = data.sides[side];
  const head = make("h4", `side ${role}`, name);
  const what = { pair: "score", "pair-ties": "score", "pair-sets": "score", score: "distance from the label", batch: "distance", best: "score" }[data.kind];
  const figure = item[FIGURES][side];
  head.append(make("span", "quiet", ` ${what} ${number(figure)}${pairwise && figure !== null ? " %" : ""}`));
  return head;
}

function answerOf(answer, side, other) {
  const { role, name } = data.sides[side];
  const box = make("div", `answer ${role}`);
  if (!answer) {
    box.append(make("p", "note", `${name} was not asked this.`));
    return box;
  }
  const [, , , verdict, right, first, text] = answer;
  const line = make("p", "reading");
  if (right !== null) line.append(make("span", tone(answer), glyph(answer), { "aria-label": tone(answer), role: "img" }), " ");
  line.append(make("strong", "", verdict));
  if (isCompared) line.append(make("span", "quiet narrow", ` ${name}`));
  if (first !== null) line.append(make("span", "quiet", ` P(first) ${first.toFixed(3)}`));
  box.append(line);
  if (text < 0) box.append(make("p", "note", "Its text was left out of this page."));
  else if (data.texts[text]) box.append(compared(data.texts[text], other));
  else box.append(make("p", "note", "(no text)"));
  return box;
}

// ---- the words that a judge was asked in

const FIELDS = ["first", "second", "third", "fourth"];

function filled(prompt, item, order) {
  const places = [...order].map((letter) => LETTERS.indexOf(letter));
  const values = { question: data.texts[item[QUESTION]] };
  places.forEach((place, i) => { values[FIELDS[i]] = data.texts[item[RESPONSES][place]]; });
  // in one pass: a response may itself hold braces
  return prompt.replace(/\{(question|first|second|third|fourth)\}/g, (field, name) => values[name] ?? field);
}

function prompts(item) {
  const box = make("details", "prompts");
  box.append(make("summary", "", isCompared ? "The prompt as the judges saw it" : "The prompt as the judge saw it"));
  const asked = new Map();
  for (const side of SIDES) {
    const { prompt, unknown } = data.sides[side];
    asked.set(prompt ?? unknown, [...(asked.get(prompt ?? unknown) ?? []), side]);
  }
  for (const [, sides] of asked) {
    if (asked.size > 1) box.append(make("h4", "", sides.map(nameOf).join(", ")));
    const { prompt, unknown } = data.sides[sides[0]];
    if (prompt === undefined) {
      box.append(make("p", "note", unknown));
      continue;
    }
    for (const order of new Set(item[ANSWERS][sides[0]].map((answer) => answer[1]))) {
      if (order.length > FIELDS.length) {
        box.append(make("pre", "", prompt, { tabindex: "0" }));
        break;
      }
      box.append(make("pre", "", filled(prompt, item, order), { tabindex: "0" }));
    }
  }
  const images = item[MARKED] ? "Each image stands where its mark is" : "The image comes before these words";
  box.append(make("p", "note", `${images}, and the model's own chat template stands around both.`));
  return box;
}

// ---- moving and copying

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    $("copied").textContent = `${what} copied`;
  } catch {
    // a browser may refuse; the address bar and the details below hold the same
    $("copied").textContent = `This browser does not copy; ${what === "Link" ? "take the address above" : "open “The item as JSON” below"}.`;
  }
}

function step(by) {
  const to = shown.indexOf(found(state.item)) + by;
  if (shown.includes(found(state.item)) && to >= 0 && to < shown.length) {
    go({ item: addressOf(data.rows[shown[to]]), page: Math.floor(to / SIZE) + 1 }, "replace");
  }
}

$("before").addEventListener("click", () => step(-1));
$("after").addEventListener("click", () => step(1));
$("close").addEventListener("click", () => $("dialog").close());
$("copy-link").addEventListener("click", () => copy(location.href, "Link"));
$("copy-json").addEventListener("click", () => copy(json(data.rows[found(state.item)]), "JSON"));
$("dialog").addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
$("dialog").addEventListener("click", (event) => {
  if (event.target === $("dialog")) $("dialog").close();
});
