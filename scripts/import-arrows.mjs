import { readFileSync } from 'node:fs';
import path from 'node:path';

/** What each workspace folder may import of the others: an import goes down only, and siblings never meet. */
const arrows = {
  'packages/backend': [],
  'packages/router': ['backend'],
  'packages/experts': ['backend'],
  'packages/kv-cache': ['backend'],
  'packages/models': ['backend', 'router', 'experts', 'kv-cache'],
  'packages/evaluators': ['backend', 'kv-cache'],
  'packages/training': ['backend', 'router', 'experts', 'kv-cache', 'models', 'evaluators'],
  'packages/report': ['backend', 'router', 'experts', 'kv-cache', 'models', 'evaluators', 'training'],
  'packages/bench': ['backend', 'router', 'experts', 'kv-cache', 'models', 'evaluators', 'training'],
  'apps/trainer': ['backend', 'router', 'experts', 'kv-cache', 'models', 'evaluators', 'training', 'report', 'bench'],
  'apps/playground': ['backend', 'kv-cache', 'models'],
  'examples/own-expert': ['backend', 'experts', 'models'],
  'examples/own-policy': ['backend', 'kv-cache', 'models'],
  'examples/own-router': ['backend', 'router', 'models'],
  'examples/own-family': ['backend', 'models'],
};

const known = new Map();

/** The names in the `exports` of a package. */
function entriesOf(root, name) {
  if (!known.has(name)) known.set(name, Object.keys(JSON.parse(readFileSync(path.join(root, 'packages', name, 'package.json'), 'utf8')).exports));
  return known.get(name);
}

/** ESLint rule: imports between workspace packages follow `arrows` and go through a package's exports. */
export const importArrows = {
  meta: { type: 'problem', schema: [] },
  create(context) {
    const file = path.relative(context.cwd, context.filename).split(path.sep);
    const folder = file.slice(0, 2).join('/');
    const allowed = arrows[folder];

    function check(node) {
      const specifier = node.source?.value;
      if (typeof specifier !== 'string') return;
      if (specifier.startsWith('.')) {
        const target = path.posix.normalize(path.posix.join(...file.slice(0, -1), specifier));
        if (!target.startsWith(`${folder}/`)) {
          context.report({ node, message: `${folder} imports ${specifier}, outside of itself; import the package by its name` });
        }
        return;
      }
      const [scope, name, ...entry] = specifier.split('/');
      if (scope !== '@mixsga') return;
      if (!allowed?.includes(name)) {
        const expected = allowed?.length ? `only ${allowed.join(', ')}` : 'none of its siblings';
        context.report({ node, message: `${folder} may import ${expected}, got ${specifier} (scripts/import-arrows.mjs)` });
      } else if (!entriesOf(context.cwd, name).includes(['.', ...entry].join('/'))) {
        context.report({ node, message: `${specifier} is not public; import @mixsga/${name}` });
      }
    }

    return { ImportDeclaration: check, ExportNamedDeclaration: check, ExportAllDeclaration: check, ImportExpression: check };
  },
};
