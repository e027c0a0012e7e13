// The theme that was chosen, before anything is painted in the other. The app keeps it (`preferences.rs`).

try {
  const theme = localStorage.getItem('proofsheet.theme');
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // A browser that keeps nothing has nothing to say.
}

// An arrow that is pressed before the app runs is marked, and kept for it (`first_page.rs`).
addEventListener('click', ({ target }) => {
  const arrow = target.closest?.('#first-paint .vote');
  if (!arrow) return;
  for (const other of document.querySelectorAll('.vote[aria-pressed]')) other.removeAttribute('aria-pressed');
  arrow.setAttribute('aria-pressed', 'true');
});
