"use strict";

// Keeps an open page as things are: a stream says that something changed, then the page is fetched anew and
// what differs is put in its place. Everything works without this, by loading the page again.
(() => {
  const main = document.getElementById("main");
  let source = null;
  let isFetching = false;
  let isStale = false;

  async function refresh() {
    isStale = true;
    if (isFetching) return;
    isFetching = true;
    try {
      while (isStale) {
        isStale = false;
        const answer = await fetch(`${location.pathname}?part=1`, { cache: "no-store" });
        show(new DOMParser().parseFromString(await answer.text(), "text/html"));
        if (answer.status === 401) stop();
      }
    } catch {
      // The daemon is away; the stream comes back when it does
    } finally {
      isFetching = false;
    }
  }

  function show(fresh) {
    const parts = [...fresh.querySelector("main").children];
    const focused = [...main.querySelectorAll("a, [tabindex]")].indexOf(document.activeElement);
    const logs = [...main.querySelectorAll(".log")].map((log) => log.scrollTop);
    document.title = fresh.title;
    if (parts.map((part) => part.id).join() === [...main.children].map((part) => part.id).join()) {
      parts.forEach((part, n) => replace(main.children[n], part));
    } else {
      main.replaceChildren(...parts);
    }
    main.querySelectorAll(".log").forEach((log, n) => (log.scrollTop = logs[n] ?? 0));
    if (focused >= 0) main.querySelectorAll("a, [tabindex]")[focused]?.focus({ preventScroll: true });
  }

  function replace(old, part) {
    if (old.innerHTML === part.innerHTML && old.className === part.className) return;
    old.className = part.className;
    old.replaceChildren(...part.childNodes);
  }

  function start() {
    if (source || document.hidden) return;
    source = new EventSource(main.dataset.live);
    source.onmessage = refresh;
  }

  function stop() {
    source?.close();
    source = null;
  }

  if (!main.dataset.live) return;
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return stop();
    refresh();
    start();
  });
  start();
})();
