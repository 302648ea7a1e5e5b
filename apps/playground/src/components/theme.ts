import { effect, signal } from '@preact/signals';
import type { Theme } from '../state/palette';

const dark = matchMedia('(prefers-color-scheme: dark)');

/** What the system asks for, until somebody chooses. */
export const theme = signal<Theme>(dark.matches ? 'dark' : 'light');
let isChosen = false;

dark.addEventListener('change', () => {
  if (!isChosen) theme.value = dark.matches ? 'dark' : 'light';
});

effect(() => {
  document.documentElement.dataset.theme = theme.value;
});

export function chooseTheme(chosen: Theme): void {
  isChosen = true;
  theme.value = chosen;
}
