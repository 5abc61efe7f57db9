// Before the first paint, so that a chosen theme does not flash. Nothing else is kept in the browser for long.
const theme = sessionStorage.getItem("autoshift-theme");
if (theme) document.documentElement.dataset.theme = theme;
