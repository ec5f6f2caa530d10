"use strict";
(function () {
  // Sorting: each heading becomes a button. Rows stay in their groups; cells without a value come last.
  function key(row, at) {
    var cell = row.cells[at];
    var number = cell.getAttribute("data-v");
    return number === null ? cell.textContent : Number(number);
  }
  function empty(value) { return value === "" || value === "-"; }
  function compare(a, b) {
    var numbers = typeof a === "number" ? typeof b === "number" : false;
    return numbers ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  }
  function sort(table, heading, at) {
    var down = heading.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("th[aria-sort]").forEach(function (other) { other.removeAttribute("aria-sort"); });
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    Array.from(table.tBodies).forEach(function (body) {
      var rows = Array.from(body.rows);
      rows.sort(function (one, other) {
        var a = key(one, at), b = key(other, at);
        if (empty(a) || empty(b)) { return Number(empty(a)) - Number(empty(b)); }
        return down ? compare(b, a) : compare(a, b);
      });
      rows.forEach(function (row) { body.appendChild(row); });
    });
  }
  document.querySelectorAll("table").forEach(function (table) {
    var head = table.tHead.rows[table.tHead.rows.length - 1];
    Array.from(head.cells).forEach(function (heading, at) {
      var button = document.createElement("button");
      button.type = "button";
      while (heading.firstChild) { button.appendChild(heading.firstChild); }
      if (button.textContent.trim() === "") { button.setAttribute("aria-label", "sort by this column"); }
      heading.appendChild(button);
      button.addEventListener("click", function () { sort(table, heading, at); });
    });
  });
  // Values: the text of a shape's title follows the pointer.
  var tip = document.getElementById("tip");
  document.querySelectorAll("figure svg title").forEach(function (title) {
    var shape = title.parentNode, text = title.textContent;
    title.remove();
    shape.addEventListener("pointerenter", function () { tip.textContent = text; tip.style.display = "block"; });
    shape.addEventListener("pointerleave", function () { tip.style.display = "none"; });
    shape.addEventListener("pointermove", function (at) {
      tip.style.top = at.clientY + 14 + "px";
      tip.style.left = Math.max(4, Math.min(at.clientX + 12, innerWidth - tip.offsetWidth - 8)) + "px";
    });
  });
  // On paper nothing can be opened. The data of plots stay closed, all else is there.
  var opened = [];
  addEventListener("beforeprint", function () {
    opened = Array.from(document.querySelectorAll("details:not([open])")).filter(function (part) {
      return !part.closest("figure");
    });
    opened.forEach(function (part) { part.open = true; });
  });
  addEventListener("afterprint", function () {
    opened.forEach(function (part) { part.open = false; });
  });
})();
