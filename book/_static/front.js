(() => {
  // The picture of the landing page moves once by itself, from the noise it starts at up, down to
  // none and back, until the reader does anything. Whoever asks for less motion gets none.
  const FIRST = 700; // milliseconds before the first step
  const EACH = 90; // and before each of the others: less than five seconds in all
  const figure = document.getElementById("fig-landing");

  function moveOnce(slider) {
    const start = Number(slider.value);
    const low = Number(slider.min);
    const high = Math.min(start + 15, Number(slider.max));
    const stops = [high, low, start];
    // What is read out to those who do not see the picture is the reader's own move only.
    const spoken = figure.querySelector("[aria-live]");
    const live = spoken?.getAttribute("aria-live");
    spoken?.setAttribute("aria-live", "off");
    const controller = new AbortController();

    function stop() {
      controller.abort();
      clearTimeout(timer);
      spoken?.setAttribute("aria-live", live);
    }
    function step() {
      const at = Number(slider.value);
      while (stops.length && stops[0] === at) stops.shift();
      if (!stops.length || !slider.isConnected) return stop();
      slider.value = at + Math.sign(stops[0] - at);
      slider.dispatchEvent(new Event("input", { bubbles: true }));
      timer = setTimeout(step, EACH);
    }
    let timer = setTimeout(step, FIRST);
    const listen = { signal: controller.signal, passive: true, capture: true };
    for (const act of ["pointerdown", "keydown"]) addEventListener(act, stop, listen);
    figure.addEventListener("pointermove", stop, listen);
  }

  function onceSeen(slider) {
    const seen = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      seen.disconnect();
      moveOnce(slider);
    }, { threshold: 1 });
    seen.observe(slider);
  }

  if (figure && !matchMedia("(prefers-reduced-motion: reduce)").matches) {
    const find = () => figure.querySelector(".fatelib-widget input[type=range]");
    const shown = new MutationObserver(() => {
      const slider = find();
      if (!slider) return;
      shown.disconnect();
      onceSeen(slider);
    });
    if (find()) onceSeen(find());
    else shown.observe(figure, { childList: true, subtree: true });
  }

  // The gallery's filter: it shows the figures that have the class of every choice. Without this
  // script all figures are there and the filter is not.
  const filter = document.querySelector("form.gallery-filter");
  if (filter) {
    const cards = [...document.querySelectorAll(".gallery > .sd-col")];
    const said = filter.querySelector("[role=status]");
    const choose = () => {
      const wanted = [...new FormData(filter).values()].filter(Boolean);
      let count = 0;
      for (const card of cards) {
        card.hidden = !wanted.every((name) => card.classList.contains(name));
        count += !card.hidden;
      }
      said.textContent = count === cards.length ? `All ${count} figures` : `${count} of ${cards.length} figures`;
    };
    filter.addEventListener("change", choose);
    filter.addEventListener("submit", (event) => event.preventDefault());
    filter.hidden = false;
    choose(); // a browser may have kept choices
  }
})();
