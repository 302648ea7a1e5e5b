import { library } from '../../tsup.base.ts';

export default library({ entry: { plugin: 'src/plugin.ts' }, dts: false });
