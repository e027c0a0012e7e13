// The theme that was chosen, before anything is painted in the other. The app keeps it (`preferences.rs`).

try {
  const theme = localStorage.getItem('proofsheet.theme');
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // A browser that keeps nothing has nothing to say.
}
