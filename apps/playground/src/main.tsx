import { render } from 'preact';
import { App } from './components/app';
import { Session } from './session';
import './styles/page.css';

render(<App session={new Session()} />, document.getElementById('app')!);
