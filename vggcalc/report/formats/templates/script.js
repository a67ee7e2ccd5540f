"use strict";

// The JSON that stands in the page, as a file.
const link = document.getElementById("download");
const json = document.getElementById("report").textContent;
link.href = URL.createObjectURL(new Blob([json], { type: "application/json" }));
link.hidden = false;

// A column's heading sorts: largest first or A first, then the other way round, then as it was.
const said = document.getElementById("said");
const collator = new Intl.Collator("en", { numeric: true });
const ORDERS = { number: ["descending", "ascending"], text: ["ascending", "descending"] };

// What a cell is sorted by; null where it has nothing, which goes last in either order.
function key(row, column, kind) {
  const cell = row.cells[column];
  if (kind === "number") return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  return cell.textContent || null;
}

function sorted(rows, column, kind, order) {
  const sign = order === "ascending" ? 1 : -1;
  const compare = kind === "number" ? (a, b) => a - b : collator.compare;
  const keyed = rows.map((row) => ({ row, key: key(row, column, kind) }));
  keyed.sort((a, b) => {
    if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
    return sign * compare(a.key, b.key);
  });
  return keyed.map(({ row }) => row);
}

document.getElementById("hint").hidden = false;
for (const table of document.querySelectorAll("table")) {
  const original = Array.from(table.tBodies, (body) => [body, [...body.rows]]);
  const first = table.tHead.rows[0].cells[0];
  new ResizeObserver(() => table.style.setProperty("--first", `${first.offsetWidth}px`)).observe(first);
  for (const head of table.querySelectorAll("thead th[data-sort]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const kind = head.dataset.sort;
      const orders = ORDERS[kind];
      const order = orders[orders.indexOf(head.getAttribute("aria-sort")) + 1] ?? null;
      table.querySelector("[aria-sort]")?.removeAttribute("aria-sort");
      if (order) head.setAttribute("aria-sort", order);
      table.classList.toggle("sorted", order !== null);
      for (const [body, rows] of original) {
        body.append(...(order ? sorted(rows, head.cellIndex, kind, order) : rows));
      }
      said.textContent = order ? `Sorted by ${button.textContent}, ${order}` : "In the original order";
    });
  }
}
