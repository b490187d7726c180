"use strict";
for (const table of document.querySelectorAll("table")) {
  table.querySelectorAll("th").forEach((head, place, heads) => {
    const figures = head.matches(".figure, .drawn");
    head.firstElementChild.addEventListener("click", () => {
      // figures begin with the highest, words with the first
      const before = head.getAttribute("aria-sort");
      const down = before ? before === "ascending" : figures;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const order = (one, other) => {
        const [a, b] = [one, other].map((row) => row.cells[place].dataset.key);
        if (a === "" || b === "") return (a === "") - (b === "");
        const sign = figures ? Number(a) - Number(b) : a.localeCompare(b, undefined, { numeric: true });
        return down ? -sign : sign;
      };
      // groups are never mixed
      for (const group of table.tBodies) group.append(...[...group.rows].sort(order));
    });
  });
}
const search = document.getElementById("search");
const rows = [...document.querySelectorAll("tbody tr")];
const texts = rows.map((row) => row.textContent.toLowerCase());
search?.addEventListener("input", () => {
  const words = search.value.toLowerCase().split(/\s+/);
  let found = 0;
  rows.forEach((row, i) => {
    row.hidden = !words.every((word) => texts[i].includes(word));
    found += !row.hidden;
  });
  for (const section of document.querySelectorAll("section")) {
    section.hidden = search.value.trim() !== "" && !section.querySelector("tbody tr:not([hidden])");
  }
  document.querySelector("output").textContent = search.value.trim() ? `${found} of ${rows.length} rows` : "";
});
