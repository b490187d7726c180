
// Two rows of one table are chosen; the first is the baseline.
const choice = document.getElementById("choice");
let picked = [];
for (const table of document.querySelectorAll("table")) {
  for (const link of table.querySelectorAll('tbody tr > :first-child a[href^="report?"]')) {
    const box = document.createElement("input");
    Object.assign(box, { type: "checkbox", title: "choose to compare" });
    box.setAttribute("aria-label", `compare ${link.textContent}`);
    box.addEventListener("change", () => {
      picked = picked.filter((one) => one.box !== box && one.table === table);
      if (box.checked) picked = [...picked.slice(-1), { box, link, table }];
      told();
    });
    link.before(box);
  }
}
function told() {
  for (const box of document.querySelectorAll("tbody input")) box.checked = picked.some((one) => one.box === box);
  choice.hidden = picked.length === 0;
  const [base, cand] = picked.map(({ link }) => link);
  document.getElementById("exchange").hidden = document.getElementById("compare").hidden = !cand;
  document.getElementById("chosen").textContent = cand
    ? `${cand.textContent} against ${base.textContent}`
    : base ? `${base.textContent} is the baseline; choose another run of the same table.` : "";
  if (!cand) return;
  const asked = new URLSearchParams(cand.search);
  asked.set("base", new URLSearchParams(base.search).get("cand"));
  document.getElementById("compare").href = `report?${asked}`;
}
document.getElementById("exchange").addEventListener("click", () => { picked.reverse(); told(); });
document.getElementById("none").addEventListener("click", () => { picked = []; told(); });
// a page that is gone back to may have boxes that were ticked before
addEventListener("pageshow", told);
