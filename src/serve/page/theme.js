/* Dark and light: as the system has it, until the button says otherwise. */

const THEME = "tare.theme";

function kept() {
  try {
    return localStorage.getItem(THEME);
  } catch {
    return null; /* a file that is opened from the disk may have no storage */
  }
}

export function themeButton(at) {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = (theme) => {
    root.dataset.theme = theme;
  };
  apply(kept() || (dark.matches ? "dark" : "light"));
  dark.addEventListener("change", () => kept() || apply(dark.matches ? "dark" : "light"));
  at.addEventListener("click", () => {
    const next = root.dataset.theme === "dark" ? "light" : "dark";
    apply(next);
    try {
      localStorage.setItem(THEME, next);
    } catch {
      /* Then it holds until the page is closed. */
    }
  });
}
