// Applies the chosen theme before the first paint. The app stores it (`preferences.rs`).

try {
  const theme = localStorage.getItem('proofsheet.theme');
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be unavailable.
}

// Stores a vote that is clicked before the app runs (`first_page.rs`).
addEventListener('click', ({ target }) => {
  const arrow = target.closest?.('#first-paint .vote');
  if (!arrow) return;
  for (const other of document.querySelectorAll('.vote[aria-pressed]')) other.removeAttribute('aria-pressed');
  arrow.setAttribute('aria-pressed', 'true');
});
