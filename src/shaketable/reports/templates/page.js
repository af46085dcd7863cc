/* The page around the timelines: filters, direct links, and drawing a trial only once it is opened. */
(() => {
  const trials = [...document.querySelectorAll("details.trial")];
  const form = document.getElementById("filters");
  const texts = new Map();

  const draw = (trial) => {
    const place = trial.querySelector(".drawing");
    if (place && !place.dataset.drawn) {
      place.dataset.drawn = "yes";
      drawTimeline(place, JSON.parse(place.querySelector("script").textContent));
    }
  };

  const textOf = (trial) => {
    if (!texts.has(trial)) texts.set(trial, trial.textContent.toLowerCase());
    return texts.get(trial);
  };

  /* Every checkbox that is off hides what it stands for. */
  const filter = () => {
    const off = [...form.querySelectorAll("input[type=checkbox]:not(:checked)")].map((box) => [box.name, box.value]);
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const trial of trials) {
      trial.hidden =
        off.some(([name, value]) => trial.dataset[name] === value) || !words.every((word) => textOf(trial).includes(word));
      shown += trial.hidden ? 0 : 1;
    }
    document.getElementById("count").textContent =
      shown === trials.length ? `${shown} trials` : `${shown} of ${trials.length} trials shown`;
  };

  const open = (trial) => {
    if (trial.hidden) {
      for (const box of form.querySelectorAll("input[type=checkbox]")) {
        if (trial.dataset[box.name] === box.value) box.checked = true;
      }
      form.elements.text.value = "";
      filter();
    }
    trial.open = true;
    draw(trial);
  };

  const follow = () => {
    const raw = location.hash.slice(1);
    const trial = document.getElementById(raw) || document.getElementById(decodeURIComponent(raw));
    if (trial && trial.matches("details.trial")) {
      open(trial);
      trial.scrollIntoView();
      return true;
    }
    return false;
  };

  for (const trial of trials) trial.addEventListener("toggle", () => trial.open && draw(trial));
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", follow);
  filter();
  if (!follow() && trials.length) open(trials[0]);
})();
