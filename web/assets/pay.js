// Keeps an open pay page true: asks how it stands, and reloads the cards when that changed.
// Everything on the page works without this file.
"use strict";
(() => {
  const FIRST_MS = 1000, SLOW_MS = 10000, FAILED_MS = 30000, QUICK_ASKS = 180;
  const path = location.pathname.replace(/\/(sandbox|refund|link)?$/, "");
  const priority = /[?&]priority(&|$)/.test(location.search);
  const said = document.getElementById("said");
  let asks = 0, failures = 0, timer = 0;

  const live = () => document.getElementById("live");

  function dress() {
    for (const time of document.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (!isNaN(at)) {
        time.title = time.textContent;
        time.textContent = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
      }
    }
    for (const button of document.querySelectorAll("button.copy")) {
      button.hidden = false;
      button.onclick = () => copy(button);
    }
    for (const form of document.querySelectorAll("form")) {
      form.onsubmit = () => {
        const button = form.querySelector("button");
        button.setAttribute("aria-disabled", "true");
        button.textContent = form.dataset.busy || "Paying…";
        if (form.dataset.sent) return false;
        form.dataset.sent = "1";
      };
    }
  }

  async function copy(button) {
    const from = document.getElementById(button.dataset.copy);
    let done = false;
    try {
      await navigator.clipboard.writeText(from.textContent);
      done = true;
    } catch {
      // Plain http on another machine has no clipboard API: select it, and try the old way.
      getSelection().selectAllChildren(from);
      done = document.execCommand("copy");
    }
    const before = button.dataset.label || button.textContent;
    button.dataset.label = before;
    button.textContent = done ? "Copied" : "Selected: copy it with the keyboard";
    said.textContent = button.textContent;
    setTimeout(() => { button.textContent = before; }, 2500);
  }

  async function ask() {
    try {
      const answer = await fetch(path + "/state" + (priority ? "?priority" : ""), { cache: "no-store", credentials: "omit" });
      if (!answer.ok) throw new Error(answer.status);
      const state = await answer.json();
      if (state.version !== live().dataset.version) await reload();
      failures = 0;
      if (live().dataset.done === "true") return;
    } catch {
      failures += 1;
    }
    asks += 1;
    const slow = asks < QUICK_ASKS ? FIRST_MS : Math.min(SLOW_MS, FIRST_MS * Math.pow(1.05, asks - QUICK_ASKS));
    const wait = failures ? Math.min(FAILED_MS, FIRST_MS * Math.pow(2, failures)) : slow;
    timer = setTimeout(ask, wait);
  }

  async function reload() {
    const answer = await fetch(path + "?watch" + (priority ? "&priority" : ""), { cache: "no-store", credentials: "omit" });
    if (!answer.ok) throw new Error(answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const main = fresh.querySelector("main");
    const keep = main.querySelector("#said");
    if (keep) keep.replaceWith(said);
    document.querySelector("main").replaceWith(main);
    document.title = fresh.title;
    said.textContent = [...main.querySelectorAll(".pill")].map(pill => pill.textContent).join(", ");
    dress();
  }

  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible" && live().dataset.done !== "true") {
      clearTimeout(timer);
      asks = 0;
      ask();
    }
  });

  dress();
  timer = setTimeout(ask, FIRST_MS);
})();
