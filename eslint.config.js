import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';
import { importArrows } from './scripts/import-arrows.mjs';

export default defineConfig(
  globalIgnores(['**/dist/', '**/.turbo/', '**/generated.ts', '**/*.generated.*', 'packages/backend/assembly/', 'runs/', 'mixsga-demo/']),
  tseslint.configs.recommended,
  {
    files: ['{packages,apps,examples}/*/src/**/*.{ts,tsx}'],
    plugins: { mixsga: { rules: { 'import-arrows': importArrows } } },
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      'mixsga/import-arrows': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/only-throw-error': 'error',
      'no-console': 'error',
    },
  },
);
