// Runs before the first paint, so that a chosen theme does not flash the other one.
{
  let theme = "auto";
  try {
    theme = localStorage.getItem("theme") ?? "auto";
  } catch {
    // A browser that forbids storage follows the system.
  }
  document.documentElement.dataset.theme = theme;
}
