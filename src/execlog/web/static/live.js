// Keeps a page up to date: it listens for changes, fetches the page again, and puts in the parts that differ.
"use strict";

(() => {
  const PAUSE = 1000;
  const state = document.getElementById("live");
  const parts = () => document.querySelectorAll("[data-live][id]");
  let due = 0;
  let busy = false;
  let again = false;

  const show = (name, text) => {
    if (!state) return;
    state.dataset.state = name;
    state.querySelector(".live-text").textContent = text;
  };

  const refresh = async () => {
    if (busy || document.hidden) {
      again = true;
      return;
    }
    busy = true;
    again = false;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (answer.ok && !answer.redirected) put(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch {
      again = true;
    } finally {
      busy = false;
      if (again) plan();
    }
  };

  const put = (fresh) => {
    if (fresh.querySelectorAll("[data-live]").length !== parts().length) {
      location.reload();
      return;
    }
    for (const old of parts()) {
      const next = fresh.getElementById(old.id);
      if (!next || next.innerHTML === old.innerHTML || old.contains(document.activeElement)) continue;
      const open = [...old.querySelectorAll("details[id]")].map((one) => [one.id, one.open]);
      const scrolled = [...old.querySelectorAll(".log")].map((one) => one.scrollTop);
      old.replaceWith(next);
      for (const [id, was] of open) {
        const one = document.getElementById(id);
        if (one) one.open = was;
      }
      next.querySelectorAll(".log").forEach((one, at) => { one.scrollTop = scrolled[at] ?? 0; });
    }
    tick();
  };

  const plan = () => {
    if (due) return;
    due = setTimeout(() => { due = 0; refresh(); }, PAUSE);
  };

  const listen = () => {
    const feed = document.body.dataset.feed;
    if (!feed) return;
    const source = new EventSource(feed);
    source.onopen = () => show("on", "live");
    source.onerror = () => show("lost", source.readyState === EventSource.CLOSED ? "not live" : "reconnecting");
    for (const name of ["execution", "deleted", "gap"]) source.addEventListener(name, plan);
    addEventListener("pagehide", () => source.close());
  };

  const STEPS = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [2592000, 86400, "d"]];

  const ago = (seconds) => {
    for (const [below, size, unit] of STEPS) if (seconds < below) return `${Math.floor(seconds / size)} ${unit} ago`;
    return null;
  };

  const span = (seconds) => {
    if (seconds < 60) return `${Math.floor(seconds)} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
    return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  };

  const tick = () => {
    const now = Date.now();
    for (const one of document.querySelectorAll("time[data-ago]")) {
      const text = ago(Math.max(0, (now - Date.parse(one.dateTime)) / 1000));
      if (text) one.textContent = text;
    }
    for (const one of document.querySelectorAll("[data-since]")) {
      one.textContent = span(Math.max(0, (now - Date.parse(one.dataset.since)) / 1000));
    }
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select it";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });

  document.addEventListener("visibilitychange", () => { if (!document.hidden && again) plan(); });
  setInterval(tick, 1000);
  tick();
  listen();
})();
