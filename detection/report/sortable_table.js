/*
A table that sorts by any column, with a mouse and with the keyboard.

Its <thead> has one row.  A cell whose value is another than its text says so: data-value="0.53",
and data-value="" is none: it comes last, however one sorts.  Columns of numbers begin with the
largest, others with the first of the alphabet.  With data-sort="no" in its <th> a column stays out.
*/
"use strict";

function sortableTable(table) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent.trim();
    if (text === "") return null;
    return Number.isNaN(Number(text)) ? text : Number(text);
  };

  function sort(column) {
    const rows = [...body.rows];
    const head = heads[column];
    const values = new Map(rows.map((row) => [row, valueOf(row, column)]));
    const isText = [...values.values()].some((value) => typeof value === "string");
    const before = head.getAttribute("aria-sort");
    const ascending = before ? before === "descending" : isText;
    const compare = (one, other) => {
      const [a, b] = [values.get(one), values.get(other)];
      if (a === null || b === null) return (a === null) - (b === null);
      const order = isText
        ? String(a).localeCompare(String(b), undefined, { numeric: true })
        : a - b;
      return ascending ? order : -order;
    };
    heads.forEach((one) => one.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    body.append(...rows.sort(compare));
  }

  heads.forEach((head, column) => {
    if (head.dataset.sort === "no") return;
    const button = element("button", { type: "button", class: "sort" }, ...head.childNodes);
    button.addEventListener("click", () => sort(column));
    head.append(button);
  });
}
