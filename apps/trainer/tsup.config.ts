import { library } from '../../tsup.base.ts';

export default library({ entry: { cli: 'src/cli.ts' }, dts: false });
