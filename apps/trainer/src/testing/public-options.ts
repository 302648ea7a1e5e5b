// Which functions and methods of the packages take options, by their declarations: so that a new one cannot be left out of a test.
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

/** A parameter that is an object of options, or an option within it that is one itself. */
export interface OptionsParameter {
  /** Such as `generate(options)`, `CachePool#restore(options).budget`, or `new CachePool(layout)`. */
  readonly id: string;
  /** {@link id} without the path. */
  readonly call: string;
  /** Where it lies in the options of the call: `['budget']`; empty for the options themselves. */
  readonly path: readonly string[];
  /** Name of its type; '' for one written at its place. */
  readonly type: string;
  readonly names: readonly string[];
}

/**
 * All options that can be given to what some modules export: functions, constructors, methods, members of catalogs.
 * @param entries such as `training/src/node`
 * @param contracts names of types that are no options, since what is given may have more than is read of it
 */
export function publicOptions(entries: readonly string[], contracts: readonly string[]): OptionsParameter[] {
  const root = fileURLToPath(new URL('../../../../', import.meta.url));
  const settings = ts.readConfigFile(`${root}tsconfig.base.json`, ts.sys.readFile).config as { compilerOptions: object };
  const { options } = ts.convertCompilerOptionsFromJson({ ...settings.compilerOptions, types: [] }, root);
  const files = entries.map((entry) => `${root}packages/${entry}.ts`);
  const program = ts.createProgram(files, options);
  const walk = new Walk(program.getTypeChecker(), `${root}packages/`, contracts);
  for (const file of files) walk.module(program.getSourceFile(file)!);
  return walk.found;
}

class Walk {
  readonly found: OptionsParameter[] = [];

  constructor(readonly checker: ts.TypeChecker, readonly folder: string, readonly contracts: readonly string[]) {}

  module(source: ts.SourceFile): void {
    for (const exported of this.checker.getExportsOfModule(this.checker.getSymbolAtLocation(source)!)) {
      const { name } = exported;
      const symbol = exported.flags & ts.SymbolFlags.Alias ? this.checker.getAliasedSymbol(exported) : exported;
      if (symbol.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface)) this.#members(`${name}#`, this.checker.getDeclaredTypeOfSymbol(symbol));
      if (!(symbol.flags & ts.SymbolFlags.Value)) continue;
      const type = this.checker.getTypeOfSymbol(symbol);
      for (const signature of type.getCallSignatures()) this.#parameters(name, signature);
      for (const signature of type.getConstructSignatures()) this.#parameters(`new ${name}`, signature);
      if (type.getCallSignatures().length === 0) this.#members(`${name}.`, type);
    }
  }

  #members(prefix: string, type: ts.Type): void {
    for (const member of this.checker.getPropertiesOfType(type)) {
      if (!this.#isOwn(member) || isPrivate(member)) continue;
      const functions = this.checker.getNonNullableType(this.checker.getTypeOfSymbol(member)).getCallSignatures();
      for (const signature of functions) this.#parameters(`${prefix}${member.name}`, signature);
    }
  }

  #parameters(name: string, signature: ts.Signature): void {
    if (signature.declaration && ts.getCombinedModifierFlags(signature.declaration as ts.Declaration) & ts.ModifierFlags.Private) return;
    for (const parameter of signature.getParameters()) {
      for (const type of this.#optionsOf(this.checker.getTypeOfSymbol(parameter), parameter.name)) this.#add(`${name}(${parameter.name})`, [], type);
    }
  }

  #add(call: string, path: readonly string[], type: ts.Type): void {
    const properties = this.checker.getPropertiesOfType(type);
    const id = [call, ...path].join('.');
    if (this.found.some((other) => other.id === id && other.type === nameOf(type))) return;
    this.found.push({ id, call, path, type: nameOf(type), names: properties.map(({ name }) => name) });
    for (const property of properties) {
      for (const nested of this.#optionsOf(this.checker.getTypeOfSymbol(property))) this.#add(call, [...path, property.name], nested);
    }
  }

  /**
   * The types of options in a type: of this project, without methods, and something in it may be left out, or it is called options, or it
   * was written for this place alone.
   */
  #optionsOf(type: ts.Type, name = ''): ts.Type[] {
    const parts = type.isUnion() ? type.types : [type];
    return parts.flatMap((part) => {
      const element = this.checker.isArrayType(part) ? this.checker.getIndexTypeOfType(part, ts.IndexKind.Number)! : part;
      if (element !== part) return this.#optionsOf(element);
      if (!(part.flags & (ts.TypeFlags.Object | ts.TypeFlags.Intersection)) || part.getCallSignatures().length > 0 || part.isClass()) return [];
      const properties = this.checker.getPropertiesOfType(part);
      if (properties.length === 0 || this.checker.getIndexInfosOfType(part).length > 0 || !properties.some((each) => this.#isOwn(each))) return [];
      if (properties.some(isMethod) || this.contracts.includes(nameOf(part))) return [];
      const isOptional = properties.some(({ flags }) => flags & ts.SymbolFlags.Optional);
      return isOptional || /options$/i.test(nameOf(part)) || name === 'options' || nameOf(part) === '' ? [part] : [];
    });
  }

  #isOwn({ declarations = [] }: ts.Symbol): boolean {
    return declarations.some((declaration) => declaration.getSourceFile().fileName.startsWith(this.folder) && !declaration.getSourceFile().fileName.includes('node_modules'));
  }
}

function isMethod({ declarations = [] }: ts.Symbol): boolean {
  return declarations.some((declaration) => ts.isMethodSignature(declaration) || ts.isMethodDeclaration(declaration));
}

function isPrivate({ name, declarations = [] }: ts.Symbol): boolean {
  return name.includes('#') || declarations.some((declaration) => ts.getCombinedModifierFlags(declaration) & (ts.ModifierFlags.Private | ts.ModifierFlags.Protected));
}

function nameOf({ aliasSymbol, symbol }: ts.Type): string {
  const { name } = aliasSymbol ?? symbol ?? { name: '' };
  return name === '__type' ? '' : name;
}
