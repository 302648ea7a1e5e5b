#!/usr/bin/env node
import { endWithParent } from '@mixsga/training/parent';

// Before anything else is loaded, which takes a second: a parent may die meanwhile.
endWithParent();
const { main } = await import('./main');
process.exitCode = await main(process.argv);
