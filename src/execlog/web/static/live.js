// Keeps a page up to date: it listens for changes, fetches the page again, and puts in the parts that differ.
"use strict";

(() => {
  const PAUSE = 1000;
  const PATIENCE = 5000;
  const MINUTE = 60000;
  const state = document.getElementById("live");
  const parts = () => [...document.querySelectorAll("[data-live][id]")];
  let source = null;
  let due = 0;
  let busy = false;
  let again = false;

  const show = (name, text) => {
    if (!state) return;
    state.hidden = false;
    state.dataset.state = name;
    state.querySelector(".live-text").textContent = text;
  };

  const stop = (text) => {
    show("lost", text);
    source?.close();
    source = null;
  };

  const refresh = async () => {
    if (busy || document.hidden) {
      again = true;
      return;
    }
    busy = true;
    again = false;
    try {
      await take(await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" }));
    } catch {
      plan(PATIENCE);
    } finally {
      busy = false;
      if (again) plan();
    }
  };

  const take = async (answer) => {
    if (answer.redirected) location.reload(); // signed out meanwhile: the way leads over the sign-in page
    else if (answer.ok) {
      put(new DOMParser().parseFromString(await answer.text(), "text/html"));
      if (!source) listen();
      else if (source.readyState === EventSource.OPEN) show("on", "live");
    } else if (answer.status === 404) stop("deleted");
    else {
      show("lost", "not live");
      plan(PATIENCE);
    }
  };

  const put = (fresh) => {
    const now = Date.now();
    tick(document, now);
    tick(fresh, now);
    document.title = fresh.title;
    const back = keep();
    const old = parts();
    const next = [...fresh.querySelectorAll("[data-live][id]")];
    if (old.length !== next.length || old.some((one, at) => one.id !== next[at].id)) {
      document.getElementById("main").replaceChildren(...fresh.getElementById("main").childNodes);
    } else {
      old.forEach((one, at) => { if (one.innerHTML !== next[at].innerHTML) one.replaceWith(next[at]); });
    }
    back();
  };

  // What a reader did to the page, and how to do it again to what was put in.
  const keep = () => {
    const open = [...document.querySelectorAll("details[id]")].map((one) => [one.id, one.open]);
    const scrolled = [...document.querySelectorAll(".log")].map((one) => one.scrollTop);
    const focused = document.activeElement;
    const name = nameOf(focused);
    const at = name ? [...document.querySelectorAll(name)].indexOf(focused) : -1;
    return () => {
      for (const [id, was] of open) {
        const one = document.getElementById(id);
        if (one) one.open = was;
      }
      document.querySelectorAll(".log").forEach((one, index) => { one.scrollTop = scrolled[index] ?? 0; });
      if (at >= 0 && !focused.isConnected) document.querySelectorAll(name)[at]?.focus({ preventScroll: true });
    };
  };

  const nameOf = (element) => {
    if (!element || element === document.body) return "";
    if (element.id) return `#${CSS.escape(element.id)}`;
    if (element.dataset.post) return `[data-post="${CSS.escape(element.dataset.post)}"]`;
    if (element.dataset.copy) return `[data-copy="${CSS.escape(element.dataset.copy)}"]`;
    if (element.matches("details[id] > summary")) return `#${CSS.escape(element.parentElement.id)} > summary`;
    const href = element.getAttribute("href");
    return href === null ? element.localName : `[href="${CSS.escape(href)}"]`;
  };

  const plan = (wait = PAUSE) => {
    if (due || !parts().length) return;
    due = setTimeout(() => { due = 0; refresh(); }, wait);
  };

  const listen = () => {
    const feed = document.body.dataset.feed;
    if (!feed || !parts().length) return;
    source?.close();
    source = new EventSource(feed);
    source.onopen = () => show("on", "live");
    source.onerror = () => {
      const closed = source.readyState === EventSource.CLOSED;
      show("lost", closed ? "not live" : "reconnecting");
      if (!closed) return;
      plan(PATIENCE);
      setTimeout(listen, 2 * PATIENCE);
    };
    for (const name of ["execution", "deleted", "gap"]) source.addEventListener(name, () => plan());
  };

  const STEPS = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [2592000, 86400, "d"]];

  const ago = (seconds) => {
    const away = Math.abs(seconds);
    const [, size, unit] = STEPS.find(([below]) => away < below) ?? [];
    if (!unit) return null;
    return seconds < 0 ? `in ${Math.floor(away / size)} ${unit}` : `${Math.floor(away / size)} ${unit} ago`;
  };

  const span = (seconds) => {
    if (seconds < 60) return `${Math.floor(seconds)} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
    return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  };

  const tick = (root, now) => {
    for (const one of root.querySelectorAll("time[data-ago]")) {
      const text = ago((now - Date.parse(one.dateTime)) / 1000);
      if (text) one.textContent = text;
    }
    for (const one of root.querySelectorAll("[data-since]")) {
      one.textContent = span(Math.max(0, (now - Date.parse(one.dataset.since)) / 1000));
    }
  };

  const copy = async (button) => {
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select it";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  };

  // What a button of the page asks of the API; a refusal is said where the page has a place for it.
  const post = async (button) => {
    const refused = document.getElementById("refused");
    button.disabled = true;
    const answer = await fetch(button.dataset.post, { method: "POST" }).catch(() => null);
    button.disabled = false;
    const problem = answer?.ok ? null : await answer?.json().catch(() => null);
    refused.hidden = answer?.ok === true;
    refused.textContent = answer?.ok ? "" : problem?.detail ?? "The server does not answer.";
    refresh();
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy], [data-post]");
    if (button) (button.dataset.post ? post : copy)(button);
  });

  document.addEventListener("visibilitychange", () => { if (!document.hidden && again) plan(); });
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    listen();
    plan();
  });
  document.documentElement.classList.add("js");
  setInterval(() => tick(document, Date.now()), 1000);
  setInterval(() => plan(), MINUTE); // windows move on, and what is not told (a store that is down) is found out
  tick(document, Date.now());
  listen();
})();
