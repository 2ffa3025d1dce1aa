"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Light and dark: the system's choice until the button is used.
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  // Tables: a click on a heading sorts, another turns the order round; gaps stay at the end.
  for (const table of all("table.sortable")) {
    const headings = all("thead th", table);
    headings.forEach((heading, column) => {
      const button = heading.querySelector("button");
      if (!button) return;
      button.addEventListener("click", () => {
        const numeric = heading.classList.contains("n");
        const before = heading.getAttribute("aria-sort");
        const descending = before === "none" ? numeric : before === "ascending";
        headings.forEach((h) => h.hasAttribute("aria-sort") && h.setAttribute("aria-sort", "none"));
        heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
        const key = (row) => {
          const cell = row.children[column];
          return numeric ? parseFloat(cell.dataset.value) : cell.textContent;
        };
        const rows = all("tbody tr", table).sort((a, b) => {
          const [x, y] = [key(a), key(b)];
          if (numeric && (isNaN(x) || isNaN(y))) return isNaN(x) - isNaN(y);
          const order = numeric ? x - y : x.localeCompare(y);
          return descending ? -order : order;
        });
        table.tBodies[0].append(...rows);
      });
    });
  }

  // Images: those with a class, two views over each other, and the edge between them.
  for (const section of all(".pictures")) {
    const examples = all(".example", section);
    const byClass = section.querySelector(".by-class");
    const views = section.querySelector(".views");
    const count = section.querySelector(".count");
    const ofErrors = section.querySelector(".of-errors");
    const filter = () => {
      for (const example of examples) {
        const classes = JSON.parse(example.dataset.classes);
        example.hidden = byClass.value !== "" && !classes.includes(byClass.value);
      }
      const shown = examples.filter((e) => !e.hidden).length;
      count.textContent = `${shown} of ${examples.length} images`;
    };
    const compare = () => {
      const [first, second] = views.value.split(",");
      ofErrors.hidden = second !== "errors";
      ofErrors.querySelector(".whose").textContent = byClass.value || "all classes";
      for (const example of examples) {
        // Errors are those of the chosen class, where the image has it.
        const errors = all("img.errors", example);
        const chosen = errors.find((e) => e.dataset.class === byClass.value) || errors[0];
        for (const image of all("img", example)) {
          const view = image.classList[0];
          const left = view === "errors" && image !== chosen;
          image.hidden = left || (view !== first && view !== second);
          image.classList.toggle("first", view === first);
        }
      }
    };
    byClass.addEventListener("change", () => { filter(); compare(); });
    views.addEventListener("change", compare);
    for (const slider of all("input[type=range]", section)) {
      slider.addEventListener("input", () =>
        slider.parentElement.style.setProperty("--at", `${slider.value}%`));
    }
    filter();
    compare();
  }
})();
