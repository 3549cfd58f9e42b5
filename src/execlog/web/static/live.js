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
  let held = [];
  let waiting = "";
  let again = false;

  const show = (name, text) => {
    if (!state) return;
    state.hidden = false;
    state.dataset.state = name;
    const said = state.querySelector(".live-text");
    if (said.textContent !== text) said.textContent = text; // what is said again is read aloud again
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
      await read(await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" }));
    } catch {
      plan(PATIENCE);
    } finally {
      busy = false;
      if (again) plan();
    }
  };

  const read = async (answer) => {
    if (answer.redirected) location.reload(); // signed out meanwhile: the way leads over the sign-in page
    else if (answer.ok) {
      put(new DOMParser().parseFromString(await answer.text(), "text/html"));
      if (!source) listen();
      else if (source.readyState === EventSource.OPEN) show("on", waiting || "live");
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
    localise(fresh);
    document.title = fresh.title;
    const back = keep();
    const old = parts();
    const next = [...fresh.querySelectorAll("[data-live][id]")];
    waiting = "";
    if (old.length !== next.length || old.some((one, at) => one.id !== next[at].id)) {
      document.getElementById("main").replaceChildren(...fresh.getElementById("main").childNodes);
      held = [];
    } else {
      held = old.filter((one, at) => one.innerHTML !== next[at].innerHTML && !take(one, next[at]));
    }
    back();
  };

  // Whether the new part was put in. One that holds a selection, and a list whose rows would move under a pointer, wait.
  const take = (old, next) => {
    const [before, after] = [rowsOf(old), rowsOf(next)];
    if (isSelected(old) || (isPointedAt(old) && String(before) !== String(after))) {
      const fresh = "list" in old.dataset ? after.filter((one) => !before.includes(one)).length : 0;
      waiting = fresh ? `${fresh} new` : waiting || "paused";
      return false;
    }
    old.replaceWith(next);
    return true;
  };

  const rowsOf = (part) => [...part.querySelectorAll(".name, .failure")].map((one) => one.getAttribute("href"));

  const isSelected = (part) => !getSelection().isCollapsed && part.contains(getSelection().anchorNode);

  const isPointedAt = (part) =>
    "list" in part.dataset && matchMedia("(hover: hover)").matches && part.matches(":hover");

  // What a reader did to the page, and how to do it again to what was put in.
  const keep = () => {
    const open = [...document.querySelectorAll("details[id]")].map((one) => [one.id, one.open]);
    const scrolled = [...document.querySelectorAll(".log")].map((one) => (isAtEnd(one) ? Infinity : one.scrollTop));
    const focused = document.activeElement;
    const name = nameOf(focused);
    const at = name ? [...document.querySelectorAll(name)].indexOf(focused) : -1;
    const still = anchor();
    return () => {
      for (const [id, was] of open) {
        const one = document.getElementById(id);
        if (one) one.open = was;
      }
      document.querySelectorAll(".log").forEach((one, index) => {
        one.scrollTop = Math.min(scrolled[index] ?? Infinity, one.scrollHeight);
      });
      if (at >= 0 && !focused.isConnected) {
        const alike = [...document.querySelectorAll(name)];
        (alike[at] ?? alike.at(-1))?.focus({ preventScroll: true });
      }
      still();
    };
  };

  // How to bring back what is in view to where it is, unless a reader is at the top, where what is new comes in.
  const anchor = () => {
    if (!scrollY) return () => {};
    const top = document.querySelector(".top").getBoundingClientRect().bottom;
    const seen = points()
      .map((one) => [labelOf(one), one.getBoundingClientRect().top])
      .filter(([, from]) => from >= top && from < innerHeight);
    return () => {
      const now = new Map(points().map((one) => [labelOf(one), one]));
      const [name, from] = seen.find(([label]) => now.has(label)) ?? [];
      if (name) scrollBy({ top: now.get(name).getBoundingClientRect().top - from, behavior: "instant" });
    };
  };

  const points = () => [...document.querySelectorAll("[data-live][id], [data-live] tr, [data-list] li, .attempts li")];

  const labelOf = (one) => {
    const named = one.querySelector("a[href], .name") ?? one;
    return one.id || named.getAttribute("href") || named.textContent;
  };

  const isAtEnd = (log) => log.scrollHeight - log.scrollTop - log.clientHeight < 8;

  const nameOf = (element) => {
    if (!element || element === document.body) return "";
    if (element.id) return `#${CSS.escape(element.id)}`;
    // Of the buttons of one job: a pause becomes a resume, and a cancel is gone.
    if (element.dataset.post) return `[data-post^="${CSS.escape(element.dataset.post.replace(/[^/]*$/, ""))}"]`;
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
    const mine = new EventSource(feed);
    source = mine;
    mine.onopen = () => show("on", "live");
    mine.onerror = () => {
      const closed = mine.readyState === EventSource.CLOSED;
      show("lost", closed ? "not live" : "reconnecting");
      if (!closed) return;
      plan(PATIENCE);
      setTimeout(listen, 2 * PATIENCE);
    };
    for (const name of ["execution", "deleted", "gap", "away"]) mine.addEventListener(name, () => plan());
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
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
    return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
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

  const two = (number) => String(number).padStart(2, "0");
  const hour = (at) => `${two(at.getHours())}:${two(at.getMinutes())}`;
  const clock = (at) => `${hour(at)}:${two(at.getSeconds())}`;

  // Times as the reader's clock has them; their titles go on to say them in UTC.
  const localise = (root) => {
    for (const one of root.querySelectorAll("[data-at]")) {
      const at = new Date(one.dateTime);
      one.textContent = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock(at)}`;
    }
    for (const one of root.querySelectorAll("[data-clock]")) {
      const at = new Date(one.dateTime);
      one.textContent = `${clock(at)}.${String(at.getMilliseconds()).padStart(3, "0")}`;
    }
    for (const one of root.querySelectorAll("[data-hour]")) {
      one.textContent = one.textContent.replace(/^\d\d:\d\d( UTC)?/, hour(new Date(one.dataset.hour)));
    }
    const zone = root.getElementById("zone");
    if (zone) zone.textContent = Intl.DateTimeFormat().resolvedOptions().timeZone;
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

  // To the page of what was asked for, as soon as it is there to be read.
  const follow = async (address) => {
    for (let tries = 0; tries < 20; tries += 1) {
      if ((await fetch(address, { method: "HEAD", cache: "no-store" }).catch(() => null))?.ok) break;
      await new Promise((done) => { setTimeout(done, 150); });
    }
    location.assign(address);
  };

  // What a button of the page asks of the API; a refusal is said where the page has a place for it.
  const post = async (button) => {
    const refused = document.getElementById("refused");
    button.setAttribute("aria-disabled", "true"); // `disabled` would take the focus away
    const { body, leads } = button.dataset;
    const sent = body ? { body, headers: { "Content-Type": "application/json" } } : {};
    const answer = await fetch(button.dataset.post, { method: "POST", ...sent }).catch(() => null);
    const said = await answer?.json().catch(() => null);
    refused.hidden = answer?.ok === true;
    refused.textContent = answer?.ok ? "" : said?.detail ?? "The server does not answer.";
    if (answer?.ok && leads) return follow(leads.replace("%7B%7D", encodeURIComponent(said.execution_id)));
    button.removeAttribute("aria-disabled");
    refresh();
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy], [data-post]");
    if (button && !button.hasAttribute("aria-disabled")) (button.dataset.post ? post : copy)(button);
  });

  document.addEventListener("visibilitychange", () => { if (!document.hidden && again) plan(); });
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    listen();
    plan();
  });
  document.documentElement.classList.add("js");
  setInterval(() => {
    tick(document, Date.now());
    if (held.length && !held.some((one) => isSelected(one) || isPointedAt(one))) plan(0);
  }, 1000);
  setInterval(() => plan(), MINUTE); // windows move on, and what is not told (a store that is down) is found out
  localise(document);
  tick(document, Date.now());
  for (const log of document.querySelectorAll(".log")) log.scrollTop = log.scrollHeight;
  listen();
})();
