import type { Session } from '../session';
import { Composer } from './composer';
import { Legend } from './legend';
import { ModelPanel } from './model-panel';
import { Runs } from './runs';
import { SettingsPanel } from './settings-panel';
import { chooseTheme, theme } from './theme';

export function App({ session }: { session: Session }) {
  return (
    <>
      <header class="page-head">
        <div class="page-head-row">
          <p class="mark">mixSGA playground</p>
          <button type="button" class="quiet" onClick={() => chooseTheme(theme.value === 'dark' ? 'light' : 'dark')}>
            {theme.value === 'dark' ? 'Light' : 'Dark'} colours
          </button>
        </div>
        <h1>Where the KV cache goes</h1>
        <p class="lead">
          A language model keeps notes on every token it has read, the keys and values of its attention: its <em>KV cache</em>, which
          grows with the text until it is most of the memory. mixSGA lets a small router decide, for each token in each layer, how much
          is worth keeping: all heads, or one shared by two or by four. Below, the fuller a mark, the more is kept. Everything runs in
          this page; nothing you type leaves it.
        </p>
      </header>
      <main>
        {session.crash.value && (
          <p class="notice bad" role="alert">
            The part of the page that computes has failed: {session.crash.value}. Reload the page.
          </p>
        )}
        <Composer session={session} />
        <div class="columns">
          <aside class="side" aria-label="Settings">
            <SettingsPanel session={session} />
            <ModelPanel session={session} />
          </aside>
          <div class="results">
            <Legend session={session} />
            <Runs session={session} />
          </div>
        </div>
      </main>
      <footer class="page-foot">
        <p>
          The shipped model, <em>sotu-mini</em>, has a million parameters and learned from speeches on the State of the Union. It is
          shipped as plain MHA and converted on the spot, with a router that has not been trained: it shows where memory goes, not how
          well a trained mixSGA writes. Method: <a href="https://arxiv.org/abs/2506.13541" rel="noreferrer">arXiv 2506.13541</a>.
        </p>
      </footer>
    </>
  );
}
