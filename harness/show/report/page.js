"use strict";
(() => {
  // The page's data: see Items in harness/report/model.py for what each place of a row holds.
  const data = JSON.parse(document.getElementById("data").textContent);
  const SIZE = 50;
  const [SOURCE, SLICE, QUESTION, RESPONSES, LABEL, IMAGE, GAIN, FIGURES, ANSWERS] = Array(9).keys();
  const pairwise = data.kind === "pair" || data.kind === "pair-ties";
  const compared = data.sides.length > 1;
  const $ = (id) => document.getElementById(id);

  // Characters that hide or reorder text are spelled out, as Python does, in elements of their own.
  const HIDDEN = /(?![\t\n\r])[\p{C}\p{Zl}\p{Zp}]/gu;

  /** Put a text into an element; it is never read as markup. */
  function put(element, text) {
    let end = 0;
    for (const found of text.matchAll(HIDDEN)) {
      element.append(text.slice(end, found.index));
      const code = found[0].codePointAt(0);
      const [letter, digits] = code < 0x100 ? ["x", 2] : code < 0x10000 ? ["u", 4] : ["U", 8];
      element.append(make("span", "hidden", `\\${letter}${code.toString(16).padStart(digits, "0")}`));
      end = found.index + found[0].length;
    }
    element.append(text.slice(end));
    return element;
  }

  function make(tag, name, text, attributes = {}) {
    const element = document.createElement(tag);
    if (name) element.className = name;
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined && text !== null) put(element, String(text));
    return element;
  }

  /** A text of the data: its own direction, cut off from what stands around it. */
  const said = (tag, name, place) => make(tag, name, data.texts[place], { dir: "auto" });

  function picture(item, name) {
    if (item[IMAGE] < 0) return make("span", `${name} none`, "no image", { title: data.no_image });
    return make("img", name, null, { src: data.images[item[IMAGE]], alt: "" });
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

  const name = (side) => data.sides[side].name;
  const OUTCOMES = [["all", "all", () => true]];
  if (compared) {
    OUTCOMES.push(
      ["differ", "the two differ", (item) => item[GAIN] !== null && item[GAIN] !== 0],
      ["gained", `${name(0)} does better`, (item) => item[GAIN] > 0],
      ["lost", `${name(1)} does better`, (item) => item[GAIN] !== null && item[GAIN] < 0],
    );
  }
  if (pairwise) {
    data.sides.forEach((side, place) => {
      OUTCOMES.push(
        [`wrong${place}`, `${side.name} is mostly wrong`, (item) => item[FIGURES][place] !== null && item[FIGURES][place] < 0.5],
        [`order${place}`, `${side.name}: the order decides`, (item) => inconsistent(item, place)],
      );
    });
    if (compared) {
      OUTCOMES.push(["both", "both are mostly wrong", (item) => item[FIGURES].every((figure) => figure !== null && figure < 0.5)]);
    }
  }
  OUTCOMES.push(["unread", "an answer could not be read", (item) => item[ANSWERS].some((answers) => answers.some((answer) => answer[3] === "unparsed"))]);

  // ---- which items are shown, in what order

  let lowered = null;
  let order = data.rows.map((_, place) => place);
  let shown = order;
  let start = 0;
  let sorted = compared ? ["gain", -1] : ["", 1];

  function select() {
    const words = $("search").value.trim().toLowerCase();
    const slice = Number($("slice").value);
    const [, , passes] = OUTCOMES.find(([key]) => key === $("outcome").value);
    let holds = () => true;
    if (words) {
      lowered ??= data.texts.map((text) => text.toLowerCase());
      const hit = lowered.map((text) => text.includes(words));
      holds = (item) =>
        item[SOURCE].toLowerCase().includes(words) ||
        hit[item[QUESTION]] ||
        item[RESPONSES].some((text) => hit[text]) ||
        item[ANSWERS].some((answers) => answers.some((answer) => hit[answer[6]]));
    }
    shown = order.filter((place) => {
      const item = data.rows[place];
      return (slice < 0 || item[SLICE] === slice) && passes(item) && holds(item);
    });
    start = 0;
    draw();
  }

  const COLUMNS = [
    ["source", "item", (item) => item[SOURCE]],
    ["slice", "slice", (item) => item[SLICE]],
    ...data.sides.map((side, place) => [`side${place}`, side.name, (item) => item[FIGURES][place]]),
  ];
  if (compared) COLUMNS.push(["gain", pairwise ? "difference" : "nearer by", null]);

  function sortBy(key) {
    // a figure shows its lowest first, a difference its largest
    sorted = [key, sorted[0] === key ? -sorted[1] : key === "gain" ? -1 : 1];
    const value = COLUMNS.find(([known]) => known === key)[2];
    const natural = data.rows.map((_, place) => place);
    if (value) {
      const values = data.rows.map(value);
      natural.sort((a, b) => {
        const [one, other] = [values[a], values[b]];
        if (one === other) return a - b;
        if (one === null || other === null) return one === null ? 1 : -1;
        return (one < other ? -1 : 1) * sorted[1];
      });
    } else if (sorted[1] > 0) natural.reverse();
    order = natural;
    heads();
    select();
  }

  function heads() {
    const cells = [make("td", "picture")];
    for (const [key, text] of COLUMNS) {
      const head = make("th", key === "slice" || key === "gain" ? "wide" : "", null, { scope: "col" });
      if (sorted[0] === key) head.setAttribute("aria-sort", sorted[1] > 0 ? "ascending" : "descending");
      const button = make("button", "sort", text, { type: "button", title: text, "data-key": key });
      button.addEventListener("click", () => {
        sortBy(key);
        document.querySelector(`[data-key="${key}"]`).focus();
      });
      head.append(button);
      cells.push(head);
    }
    $("heads").replaceChildren(...cells);
  }

  function number(value, signed) {
    if (value === null) return "–";
    const text = data.kind === "pair" || data.kind === "pair-ties" ? (100 * value).toFixed(0) : value.toFixed(2);
    return signed && value > 0 ? `+${text}` : text.replace("-", "−");
  }

  function line(place, position) {
    const item = data.rows[place];
    const row = make("tr");
    const pictured = make("td", "picture");
    pictured.append(picture(item, "thumb"));
    const asked = make("th", "asked", null, { scope: "row" });
    const button = said("button", "open", item[QUESTION]);
    button.type = "button";
    button.addEventListener("click", () => open(position));
    const about = make("span", "about");
    about.append(make("bdi", "", item[SOURCE]), make("span", "narrow", ` · ${data.slices[item[SLICE]]}`), ` · label ${item[LABEL]}`);
    asked.append(button, about);
    row.append(pictured, asked, make("td", "wide", data.slices[item[SLICE]]));
    data.sides.forEach((_, side) => row.append(outcome(item, side)));
    if (compared) row.append(make("td", `wide ${item[GAIN] > 0 ? "right" : item[GAIN] < 0 ? "wrong" : "quiet"}`, number(item[GAIN], true)));
    return row;
  }

  function draw() {
    const end = Math.min(start + SIZE, shown.length);
    $("rows").replaceChildren(...shown.slice(start, end).map((place, i) => line(place, start + i)));
    const of = data.rows.length.toLocaleString("en");
    $("count").textContent = shown.length === data.rows.length ? `${of} items` : `${shown.length.toLocaleString("en")} of ${of} items`;
    $("place").textContent = shown.length ? `${(start + 1).toLocaleString("en")}–${end.toLocaleString("en")}` : "none";
    $("previous").disabled = start === 0;
    $("next").disabled = end === shown.length;
    $("table").hidden = false;
  }

  function turn(by) {
    start += by * SIZE;
    draw();
    $("table").scrollIntoView({ block: "start" });
  }

  // ---- one item, whole

  let opened = 0;

  function open(position) {
    opened = position;
    const item = data.rows[shown[position]];
    const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const title = said("h3", "", item[QUESTION]);
    title.id = "dialog-title";
    const about = make("p", "about");
    about.append(make("bdi", "", item[SOURCE]), ` · ${data.slices[item[SLICE]]} · label ${item[LABEL]}`);
    const responses = make("div", "responses");
    item[RESPONSES].forEach((text, place) => {
      const card = make("div", "response");
      const preferred = pairwise && item[LABEL] === letters[place];
      card.append(make("h4", "", `Response ${letters[place]}${preferred ? ", the label" : ""}`), said("p", "text", text));
      if (preferred) card.classList.add("preferred");
      responses.append(card);
    });
    const top = make("div", "top");
    const words = make("div");
    words.append(title, about);
    top.append(picture(item, "image"), words);
    const sides = make("div", "sides");
    data.sides.forEach((side, place) => sides.append(answers(side, item[ANSWERS][place], item[FIGURES][place])));
    $("dialog-body").replaceChildren(top, responses, sides);
    $("dialog-place").textContent = `${(position + 1).toLocaleString("en")} of ${shown.length.toLocaleString("en")}`;
    $("before").disabled = position === 0;
    $("after").disabled = position === shown.length - 1;
    if (!$("dialog").open) $("dialog").showModal();
    $("dialog").scrollTop = 0;
  }

  function answers(side, given, figure) {
    const box = make("div", `side ${side.role}`);
    const head = make("h4", "", side.name);
    const what = { pair: "score", "pair-ties": "score", score: "distance from the label", batch: "distance" }[data.kind];
    head.append(make("span", "quiet", ` ${what} ${number(figure)}${pairwise && figure !== null ? " %" : ""}`));
    box.append(head);
    if (!given.length) box.append(make("p", "note", "This run was not asked this item."));
    for (const answer of given) {
      const [seed, order, repeat, verdict, , first, text] = answer;
      const one = make("div", "answer");
      const line = make("p", "reading");
      if (answer[4] !== null) line.append(make("span", tone(answer), glyph(answer), { "aria-label": tone(answer) }), " ");
      line.append(make("strong", "", verdict));
      const known = [];
      if (side.seeds.length > 1) known.push(`seed ${seed}`);
      if (order.length > 1) known.push(`shown ${order.split("").join(", ")}`);
      if (repeat) known.push(`repeat ${repeat}`);
      if (first !== null) known.push(`P(first) ${first.toFixed(3)}`);
      line.append(make("span", "quiet", ` ${known.join(" · ")}`));
      one.append(line);
      if (text < 0) one.append(make("p", "note", "Its text was left out of this page."));
      else if (data.texts[text]) one.append(said("p", "text", text));
      else one.append(make("p", "note", "(no text)"));
      box.append(one);
    }
    return box;
  }

  function step(by) {
    const to = opened + by;
    if (to >= 0 && to < shown.length) open(to);
  }

  // ---- begin

  data.slices.forEach((name, place) => $("slice").append(make("option", "", name, { value: place })));
  OUTCOMES.forEach(([key, text]) => $("outcome").append(make("option", "", text, { value: key })));
  $("search").addEventListener("input", select);
  $("slice").addEventListener("change", select);
  $("outcome").addEventListener("change", select);
  document.querySelector(".controls").addEventListener("submit", (event) => event.preventDefault());
  $("previous").addEventListener("click", () => turn(-1));
  $("next").addEventListener("click", () => turn(1));
  $("before").addEventListener("click", () => step(-1));
  $("after").addEventListener("click", () => step(1));
  $("close").addEventListener("click", () => $("dialog").close());
  $("dialog").addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  $("dialog").addEventListener("click", (event) => {
    if (event.target === $("dialog")) $("dialog").close();
  });
  heads();
  select();
})();
