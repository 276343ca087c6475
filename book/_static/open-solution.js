// A link to a place inside a folded solution opens it.
(() => {
  const open = () => {
    const name = decodeURIComponent(location.hash.slice(1));
    const place = name && document.getElementById(name);
    const folded = place && place.closest(".toggle-hidden");
    if (!folded) return;
    folded.querySelector(".toggle-button").click();
    place.scrollIntoView();
  };
  addEventListener("hashchange", open);
  addEventListener("load", open); // the buttons are made while the page loads
})();
