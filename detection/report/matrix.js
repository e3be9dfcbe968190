/*
A confusion matrix as a grid: the arrow keys go from cell to cell, Enter or a click chooses one.

  confusionMatrix(place, {confusion, read, choose})

confusion  {names, counts}: rows are objects, then the background; columns what they were taken
           for, then what was not found
read       the element that says in words what the cell under the mouse, or in focus, counts
choose     (row, column), or null where there is nothing to choose
*/
"use strict";

function confusionMatrix(place, { confusion, read, choose }) {
  const { names, counts } = confusion;
  const last = names.length;
  const side = names.length <= 12 ? 40 : names.length <= 25 ? 30 : names.length <= 50 ? 18 : 12;
  const sums = counts.map((row) => row.reduce((a, b) => a + b, 0));
  const heading = (name, special) =>
    name === undefined ? element("span", { class: "name special" }, special) : nameElement(name);

  const head = element("tr", {}, element("td", {}));
  head.firstChild.replaceWith(element("th", {}, element("span", { class: "visually-hidden" }, "Objects of")));
  for (let column = 0; column <= last; column += 1) {
    head.append(element("th", { scope: "col" }, heading(names[column], "not found")));
  }
  const body = element("tbody", {});
  counts.forEach((row, r) => {
    const line = element("tr", {}, element("th", { scope: "row" }, heading(names[r], "background")));
    row.forEach((count, c) => line.append(cell(count, r, c)));
    body.append(line);
  });
  const table = element(
    "table",
    {
      class: `matrix ${choose ? "clickable" : ""} ${side < 30 ? "dense" : ""}`,
      role: "grid",
      style: `--side: ${side}px`,
      "aria-label": "Confusion matrix",
    },
    element("thead", {}, head),
    body,
  );

  function cell(count, r, c) {
    if (!count) return element("td", { class: "empty", tabindex: -1, role: "gridcell" });
    const share = count / sums[r];
    const colour = r === c ? "green" : c === last || r === last ? "orange" : "red";
    const strength = Math.round(100 * (0.1 + 0.9 * share));
    return element(
      "td",
      {
        tabindex: -1,
        role: "gridcell",
        class: strength > 80 ? "strong" : strength > 60 ? "middle" : null,
        style: `--cell: color-mix(in srgb, var(--${colour}) ${strength}%, var(--surface))`,
      },
      side >= 30 ? String(count) : "",
    );
  }

  const position = (td) => [td.parentNode.rowIndex - 1, td.cellIndex - 1];
  const cellAt = (r, c) => body.rows[r]?.cells[c + 1];

  function say(r, c) {
    const count = counts[r][c];
    const share = sums[r] ? ` (${((100 * count) / sums[r]).toFixed(1)} %)` : "";
    const bold = element("b", {}, `${count}`);
    const whole = ` of ${sums[r]} `;
    const words = [];
    if (r === last) words.push(bold, whole, "detections on the background are ", nameElement(names[c] ?? ""), share);
    else if (c === last) words.push(bold, whole, "objects of ", nameElement(names[r]), " were not found", share);
    else if (r === c) words.push(bold, whole, "objects of ", nameElement(names[r]), " were found", share);
    else words.push(bold, whole, "objects of ", nameElement(names[r]), " were taken for ", nameElement(names[c]), share);
    read.replaceChildren(element("span", {}, ...words));
  }

  function over(event, act) {
    const td = event.target.closest("tbody td");
    if (td) act(...position(td));
  }

  const isChoice = (r, c) => choose && counts[r][c] > 0;
  table.addEventListener("mouseover", (event) => over(event, say));
  table.addEventListener("focusin", (event) => over(event, say));
  table.addEventListener("click", (event) =>
    over(event, (r, c) => {
      focusOn(r, c);
      if (isChoice(r, c)) choose(r, c);
    }),
  );

  read.replaceChildren(
    element("span", { class: "muted" }, "Point at a cell, or go there with Tab and the arrow keys."),
  );
  let current = cellAt(0, 0);
  current.tabIndex = 0;

  function focusOn(r, c) {
    const next = cellAt(r, c);
    if (!next || c < 0) return;
    current.tabIndex = -1;
    next.tabIndex = 0;
    current = next;
    next.focus();
  }

  table.addEventListener("keydown", (event) => {
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (step) {
      event.preventDefault();
      const [r, c] = position(current);
      focusOn(r + step[0], c + step[1]);
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      const [r, c] = position(current);
      if (isChoice(r, c)) choose(r, c);
    }
  });
  place.append(table);
}
