"use strict";
for (const table of document.querySelectorAll("table.list")) {
  const body = table.tBodies[0], rows = [...body.rows];
  const value = (row, column) => {
    const cell = row.cells[column];
    if (!cell || cell.colSpan > 1) return null;
    return cell.textContent.trim();
  };
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    // No <button>: browsers leave those out of the headings that they repeat on paper.
    const button = document.createElement("span");
    button.setAttribute("role", "button");
    button.tabIndex = 0;
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("keydown", event => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); button.click(); }
    });
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const isNumber = head.classList.contains("n");
      const key = row => {
        const text = value(row, column);
        if (text === null || !isNumber) return text;
        const parsed = parseFloat(text.replace(/,/g, ""));
        return Number.isNaN(parsed) ? null : parsed;
      };
      rows.sort((a, b) => {
        const x = key(a), y = key(b);
        if (x === null || y === null) return (x === null) - (y === null);
        const order = isNumber ? x - y : x.localeCompare(y, undefined, {numeric: true});
        return down ? -order : order;
      });
      body.append(...rows);
    });
  });
  const form = document.createElement("div"), input = document.createElement("input"), shown = document.createElement("span");
  form.className = "filter";
  input.type = "search";
  input.placeholder = "filter: words of the name, outcome, cause";
  input.setAttribute("aria-label", "Filter " + table.dataset.filter);
  const apply = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
      count += !row.hidden;
    }
    shown.textContent = count + " of " + rows.length + " " + table.dataset.filter;
  };
  input.addEventListener("input", apply);
  form.append(input, shown);
  table.parentNode.before(form);
  apply();
  window.addEventListener("hashchange", () => {
    const row = document.getElementById(location.hash.slice(1));
    if (row && row.hidden && body.contains(row)) { input.value = ""; apply(); row.scrollIntoView(); }
  });
}
window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(item => { item.open = true; }));
