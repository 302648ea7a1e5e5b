// The planted bugs: the classical operators of mutation testing, over the syntax tree. Texts are left alone.
import ts from 'typescript';

const K = ts.SyntaxKind;

/** What each operator becomes. */
const SWAPS = new Map([
  [K.PlusToken, ['-']], [K.MinusToken, ['+']], [K.AsteriskToken, ['/']], [K.SlashToken, ['*']], [K.PercentToken, ['*']], [K.AsteriskAsteriskToken, ['*']],
  [K.LessThanLessThanToken, ['>>']], [K.GreaterThanGreaterThanToken, ['<<']], [K.GreaterThanGreaterThanGreaterThanToken, ['<<']],
  [K.AmpersandToken, ['|']], [K.BarToken, ['&']], [K.CaretToken, ['&']],
  [K.LessThanToken, ['<=', '>=']], [K.LessThanEqualsToken, ['<', '>']], [K.GreaterThanToken, ['>=', '<=']], [K.GreaterThanEqualsToken, ['>', '<']],
  [K.EqualsEqualsEqualsToken, ['!==']], [K.ExclamationEqualsEqualsToken, ['===']],
  [K.AmpersandAmpersandToken, ['||']], [K.BarBarToken, ['&&']], [K.QuestionQuestionToken, ['&&']],
  [K.PlusEqualsToken, ['-=']], [K.MinusEqualsToken, ['+=']], [K.AsteriskEqualsToken, ['/=']], [K.SlashEqualsToken, ['*=']],
]);
const NAMES = { '+': 'arithmetic', '<': 'boundary', '<=': 'boundary', '>': 'boundary', '>=': 'boundary', '===': 'equality', '!==': 'equality', '&&': 'logical', '||': 'logical' };
const RELATIONS = new Set([K.LessThanToken, K.LessThanEqualsToken, K.GreaterThanToken, K.GreaterThanEqualsToken, K.EqualsEqualsEqualsToken, K.ExclamationEqualsEqualsToken]);
const LIMITS = new Set([K.LessThanToken, K.LessThanEqualsToken, K.GreaterThanToken, K.GreaterThanEqualsToken]);
const CALLS = { floor: 'ceil', ceil: 'floor', round: 'floor', min: 'max', max: 'min', some: 'every', every: 'some' };

/**
 * Every mutant of a source, in the order of the text. `statement` ones are removed; the others are expressions that become `text`.
 * `isStatic` ones stand outside of functions, and run while their module is loaded.
 * @returns {{ start: number, end: number, text: string, operator: string, statement: boolean, isStatic: boolean }[]}
 */
export function mutantsOf(source, fileName) {
  const file = ts.createSourceFile(fileName, source, ts.ScriptTarget.Latest, true);
  const found = [];
  const textOf = (node) => source.slice(node.getStart(file), node.end);
  let functions = 0;
  const add = (node, operator, text, statement = false) =>
    found.push({ start: node.getStart(file), end: node.end, operator, text, statement, isStatic: functions === 0 });

  const visit = (node) => {
    const runsLater = ts.isFunctionLike(node) || (ts.isPropertyDeclaration(node) && !node.modifiers?.some(({ kind }) => kind === K.StaticKeyword));
    if (runsLater) functions++;
    look(node);
    if (runsLater) functions--;
  };
  const look = (node) => {
    if (ts.isTypeNode(node) || ts.isImportDeclaration(node) || ts.isExportDeclaration(node) || ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) return;
    if (ts.isBinaryExpression(node)) binary(node);
    if (ts.isPrefixUnaryExpression(node) || ts.isPostfixUnaryExpression(node)) unary(node);
    if (ts.isNumericLiteral(node) && !isName(node)) {
      add(node, 'constant', `(${node.text} + 1)`);
      add(node, 'constant', `(${node.text} - 1)`);
    }
    if (node.kind === K.TrueKeyword && !ts.isLiteralTypeNode(node.parent)) add(node, 'boolean', 'false');
    if (node.kind === K.FalseKeyword && !ts.isLiteralTypeNode(node.parent)) add(node, 'boolean', 'true');
    if (ts.isCallExpression(node)) call(node);
    const condition = ts.isIfStatement(node) || ts.isWhileStatement(node) || ts.isDoStatement(node) ? node.expression
      : ts.isConditionalExpression(node) || ts.isForStatement(node) ? node.condition : undefined;
    if (condition && !isMutatedRelation(condition)) add(condition, 'negated condition', `!(${textOf(condition)})`);
    const removable = (ts.isExpressionStatement(node) && !startsWithSuper(node)) || ts.isBreakStatement(node) || ts.isContinueStatement(node);
    if (removable) add(node, 'removed statement', '', true);
    ts.forEachChild(node, visit);
  };

  const binary = (node) => {
    const { left, right, operatorToken } = node;
    const swaps = SWAPS.get(operatorToken.kind);
    if (!swaps || isText(node)) return;
    const operator = operatorToken.getText(file);
    const [a, b] = [left, right].map((side) => (ts.isBinaryExpression(side) ? `(${textOf(side)})` : textOf(side)));
    for (const other of swaps) add(node, NAMES[operator] ?? (/[+\-*/%]/.test(operator) ? 'arithmetic' : 'logical'), `${a} ${other} ${b}`);
    if (LIMITS.has(operatorToken.kind) && !ts.isNumericLiteral(right)) add(node, 'off by one', `${a} ${operator} ${b} + 1`);
    if (operatorToken.kind === K.MinusToken) add(node, 'off by one', `${textOf(node)} + 1`);
  };

  const unary = (node) => {
    const operand = textOf(node.operand);
    if (node.operator === K.ExclamationToken || node.operator === K.MinusToken) add(node, 'unary', `(${operand})`);
    const [from, to] = node.operator === K.PlusPlusToken ? ['++', '--'] : node.operator === K.MinusMinusToken ? ['--', '++'] : [];
    if (from) add(node, 'arithmetic', ts.isPrefixUnaryExpression(node) ? to + operand : operand + to);
  };

  const call = (node) => {
    const callee = node.expression;
    if (!ts.isPropertyAccessExpression(callee) || node.flags & ts.NodeFlags.OptionalChain) return;
    const name = callee.name.text;
    const other = Object.hasOwn(CALLS, name) ? CALLS[name] : null;
    const isMath = textOf(callee.expression) === 'Math';
    if (!other || isMath !== !['some', 'every'].includes(name)) return;
    add(node, 'call', source.slice(node.getStart(file), callee.name.getStart(file)) + other + source.slice(callee.name.end, node.end));
  };

  const isMutatedRelation = (node) => ts.isBinaryExpression(node) && RELATIONS.has(node.operatorToken.kind);
  visit(file);
  return found.sort((a, b) => a.start - b.start || b.end - a.end);
}

/** Whether a number is the name of a property. */
function isName(node) {
  return ts.isPropertyAssignment(node.parent) && node.parent.name === node;
}

/** Whether a sum is one of texts. */
function isText({ left, right, operatorToken }) {
  if (operatorToken.kind !== K.PlusToken && operatorToken.kind !== K.PlusEqualsToken) return false;
  const isString = (node) => ts.isStringLiteralLike(node) || ts.isTemplateExpression(node) || (ts.isBinaryExpression(node) && isText(node)) || (ts.isParenthesizedExpression(node) && isString(node.expression));
  return isString(left) || isString(right);
}

function startsWithSuper({ expression }) {
  return ts.isCallExpression(expression) && expression.expression.kind === K.SuperKeyword;
}

/**
 * The source with all its mutants in it, each behind a switch: `__m(id)` tells whether it is the one that is on.
 * @param mutants as {@link mutantsOf} gives them, each with its `id`
 */
export function instrument(source, mutants) {
  let next = 0;
  const emit = (start, end) => {
    let out = '';
    let at = start;
    while (next < mutants.length && mutants[next].start < end) {
      const first = mutants[next];
      const same = [];
      while (next < mutants.length && mutants[next].start === first.start && mutants[next].end === first.end) same.push(mutants[next++]);
      out += source.slice(at, first.start);
      let inner = emit(first.start, first.end);
      for (const { id, text, statement } of same) inner = statement ? `{if(!__m(${id})){${inner}}}` : `(__m(${id})?(${text}):${inner})`;
      out += inner;
      at = first.end;
    }
    return out + source.slice(at, end);
  };
  return emit(0, source.length);
}
