// What is looked at stands in the address, so that it can be sent: #items?outcome=candidate&slice=general&item=ID

const HERE = "#items?";
const START = {
  outcome: isCompared && data.rows.some((item) => ["candidate", "baseline"].includes(standing(item))) ? "apart" : "all",
  slice: "",
  search: "",
  sort: isCompared ? "gain" : "",
  down: isCompared,
  page: 1,
  item: "",
};
let state = { ...START };
let listed = "";

const sources = new Map();
for (const item of data.rows) sources.set(item[SOURCE], (sources.get(item[SOURCE]) ?? 0) + 1);

/** An item's name in the address: the benchmark's own, where no other item has it too. */
const addressOf = (item) => (sources.get(item[SOURCE]) === 1 ? item[SOURCE] : item[ID]);

/** The place of the item with that name; -1 if there is none. */
const found = (name) => data.rows.findIndex((item) => name !== "" && addressOf(item) === name);

function written(of) {
  const told = new URLSearchParams();
  for (const key of ["outcome", "slice", "search", "item"]) if (of[key] !== START[key]) told.set(key, of[key]);
  if (of.sort !== START.sort || of.down !== START.down) told.set("sort", `${of.down ? "-" : ""}${of.sort}`);
  if (of.page !== 1) told.set("page", of.page);
  return HERE + told;
}

/** Read a state; what an address says that cannot be is as if it were not said. */
function read(address) {
  const told = new URLSearchParams(address.slice(HERE.length));
  const of = { ...START };
  if (OUTCOMES.some(([key]) => key === told.get("outcome"))) of.outcome = told.get("outcome");
  if (data.slices.includes(told.get("slice"))) of.slice = told.get("slice");
  of.search = told.get("search") ?? "";
  const sort = told.get("sort") ?? "";
  if (COLUMNS.some(([key]) => key === sort.replace(/^-/, ""))) [of.sort, of.down] = [sort.replace(/^-/, ""), sort.startsWith("-")];
  of.page = Math.max(1, Number.parseInt(told.get("page"), 10) || 1);
  if (found(told.get("item") ?? "") >= 0) of.item = told.get("item");
  return of;
}

/** Show what the state says. */
function display() {
  for (const key of ["outcome", "slice", "search"]) if ($(key).value !== state[key]) $(key).value = state[key];
  const wanted = written({ ...state, item: "" });
  if (wanted !== listed) {
    list();
    listed = wanted;
  }
  const place = found(state.item);
  if (place >= 0) show(data.rows[place], shown.indexOf(place));
  else if ($("dialog").open) $("dialog").close();
}

/** Change the state, and the address with it; `how` says whether going back undoes it. */
function go(change, how = "push") {
  const opens = change.item !== undefined && state.item === "" && how === "push";
  state = { ...state, ...change };
  history[`${how}State`]({ opened: opens || (how === "replace" && history.state?.opened) }, "", written(state));
  display();
}

/** Take up the address, as a link, `back` or `forward` left it; a link to another section changes nothing here. */
function follow() {
  if (location.hash !== "" && !location.hash.startsWith(HERE)) {
    state = { ...state, item: "" };
    if ($("dialog").open) $("dialog").close();
    return;
  }
  const wanted = location.hash === "" ? { ...START } : read(location.hash);
  if (written(wanted) === written(state)) return;
  state = wanted;
  display();
}

data.slices.forEach((name) => $("slice").append(make("option", "", name, { value: name })));
OUTCOMES.forEach(([key, text]) => $("outcome").append(make("option", "", text, { value: key })));
$("slice").addEventListener("change", () => go({ slice: $("slice").value, page: 1 }));
$("outcome").addEventListener("change", () => go({ outcome: $("outcome").value, page: 1 }));
$("search").addEventListener("input", () => go({ search: $("search").value, page: 1 }, "replace"));
$("controls").addEventListener("submit", (event) => event.preventDefault());
for (const [id, by] of [["previous", -1], ["next", 1]]) {
  $(id).addEventListener("click", () => {
    go({ page: Math.min(state.page, Math.ceil(shown.length / SIZE)) + by });
    $("table").scrollIntoView({ block: "start" });
  });
}
for (const link of document.querySelectorAll(`a[href^="${HERE}"]`)) {
  link.addEventListener("click", () => $("controls").scrollIntoView({ block: "start" }));
}
$("dialog").addEventListener("close", () => {
  if (state.item === "") return;
  // going back leads to where the item was opened, unless a link opened it
  if (history.state?.opened) {
    state = { ...state, item: "" };
    history.back();
  } else go({ item: "" }, "replace");
});
addEventListener("popstate", follow);
addEventListener("hashchange", follow);

if (location.hash.startsWith(HERE)) {
  state = read(location.hash);
  if (state.item === "") $("controls").scrollIntoView({ block: "start" });
}
display();

// ---- the section that is read is marked in the navigation

const links = new Map([...document.querySelectorAll("nav a[href^='#']")].map((link) => [link.getAttribute("href").slice(1), link]));
const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    for (const link of links.values()) link.removeAttribute("aria-current");
    links.get(target.getAttribute("aria-labelledby"))?.setAttribute("aria-current", "true");
  }
}, { rootMargin: "-20% 0px -75% 0px" });
for (const section of document.querySelectorAll("main > section")) seen.observe(section);
