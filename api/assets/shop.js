// What customers' pages gain from JavaScript. Everything works without it.
"use strict";

(() => {
  const root = document.documentElement;
  root.classList.add("js"); // hides what only those need who have no JavaScript: .without-js

  const announce = (text) => {
    const region = document.getElementById("announce");
    if (region) region.textContent = text;
  };

  // A form that does something once is sent once, however often its button is pressed. The button is not disabled, because its
  // value would not be sent and the focus would be lost. A page that comes back by the back button starts afresh, and so does one
  // whose loading was stopped, after a while; the server knows what it has done already.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-once]")) return;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    for (const button of form.querySelectorAll("button:not([type=button])")) button.setAttribute("aria-busy", "true");
    setTimeout(afresh, 10_000);
  });
  const afresh = () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
    for (const button of document.querySelectorAll("button[aria-busy]")) button.removeAttribute("aria-busy");
  };
  addEventListener("pageshow", afresh);

  // Buttons that only work with JavaScript are hidden until it is there.
  const reveal = () => {
    for (const e of document.querySelectorAll("[data-copy][hidden], [data-print][hidden], [data-step][hidden]")) e.hidden = false;
  };

  const select = (element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  };

  // The clipboard is closed to pages without encryption; there the older command does it, or the text is left selected.
  const copy = async (element) => {
    try {
      await navigator.clipboard.writeText(element.textContent.trim());
      return true;
    } catch {
      select(element);
      return document.execCommand("copy");
    }
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy], [data-print]");
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
    if (!button) return;
    if (button.matches("[data-print]")) {
      print();
      return;
    }
    const from = document.getElementById(button.dataset.copy);
    if (!from || button.dataset.label || !(await copy(from))) return;
    button.dataset.label = button.textContent;
    button.textContent = button.dataset.copied;
    announce(button.dataset.copied);
    setTimeout(() => {
      button.textContent = button.dataset.label;
      delete button.dataset.label;
      announce("");
    }, 2500);
  });

  // The buttons beside a quantity change it as typing would. The totals are asked for when the presses have come to an end.
  const asked = new WeakMap();
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-step]");
    if (!button) return;
    const field = button.parentElement.querySelector("input");
    const before = field.value;
    if (button.dataset.step > 0) field.stepUp();
    else field.stepDown();
    if (field.value === before) return;
    announce(field.value);
    clearTimeout(asked.get(field));
    asked.set(field, setTimeout(() => field.dispatchEvent(new Event("change", { bubbles: true })), 350));
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  // Where htmx gets no answer, or one that is no page of ours, the browser asks itself and shows what is wrong.
  const askPlainly = ({ detail }) => {
    const asked = (detail.requestConfig || detail).elt;
    const form = asked.closest("form");
    if (!form) location.reload();
    else if (asked.matches("button")) form.requestSubmit(asked);
    else form.submit();
  };
  document.addEventListener("htmx:sendError", askPlainly);
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.xhr.responseText.includes('id="main"')) return;
    event.detail.shouldSwap = false;
    askPlainly(event);
  });
  document.addEventListener("htmx:load", reveal);
  reveal();
})();
