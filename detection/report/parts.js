/*
Parts of the pages that elements.js, sortable_table.js and charts.js do not know: numbers in words,
histograms, the field that finds a class, and contents that say where one is.
*/
"use strict";

/** 12345 -> "12 345", with narrow spaces. */
const whole = (value) => String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
/** 12345 -> "12.3k" */
const short = (value) => (value >= 1000 ? `${Number((value / 1000).toPrecision(3))}k` : String(Number(value.toPrecision(3))));

/** draw(the element of this id), where the page has it. */
function at(id, draw) {
  const place = document.getElementById(id);
  if (place) draw(place);
}

/** A bar chart of {edges, counts}; words: (low, high, count) -> what is read out. */
function histogram(id, title, hint, xTitle, { edges, counts }, words) {
  at(id, (place) =>
    barChart(place, {
      title,
      label: `${title}. Arrow keys read out values.`,
      hint,
      edges,
      bars: counts.map((count, i) => ({ height: count, read: words(edges[i], edges[i + 1], count) })),
      x: { title: xTitle, format: short },
      y: { format: short },
    }),
  );
}

document.querySelectorAll("table.sortable").forEach(sortableTable);
at("find-class", (input) => {
  const rows = [...document.getElementById("class-table").tBodies[0].rows];
  input.addEventListener("input", () => {
    const sought = input.value.trim().toLowerCase();
    for (const row of rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(sought);
    const left = rows.filter((row) => !row.hidden).length;
    document.getElementById("found-classes").textContent = sought ? `${left} of ${rows.length}` : "";
  });
});

// The contents say where one is.

const links = new Map(
  [...document.querySelectorAll(".contents a")].map((link) => [link.getAttribute("href").slice(1), link]),
);
const seen = new Set();
const watch = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) seen.add(target.id);
      else seen.delete(target.id);
    }
    const current = [...links.keys()].find((id) => seen.has(id));
    for (const [id, link] of links) {
      if (id === current) {
        // Of a row that is wider than a phone.
        const row = link.closest(".contents");
        row.scrollLeft += link.getBoundingClientRect().left - row.getBoundingClientRect().left - 60;
        link.setAttribute("aria-current", "true");
      } else link.removeAttribute("aria-current");
    }
  },
  { rootMargin: "-10% 0px -60% 0px" },
);
document.querySelectorAll("section[id]").forEach((section) => watch.observe(section));
