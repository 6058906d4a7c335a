// Runs before the page is painted, so that a chosen theme does not flash. Not a module for that reason.
(function () {
  "use strict";
  try {
    const theme = localStorage.getItem("aiohttp-jobs:theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage is switched off: the system's theme then.
  }
})();
