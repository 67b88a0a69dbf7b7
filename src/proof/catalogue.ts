import { guaranteeNames, type GuaranteeName } from '../guarantees.js';
import type { Attack, Row } from './attack.js';
import { channel } from './catalogue/channel.js';
import { code } from './catalogue/code.js';
import { debuggerAttacks } from './catalogue/debugger.js';
import { environ } from './catalogue/environ.js';
import { files } from './catalogue/files.js';
import { identity } from './catalogue/identity.js';
import { inheritance } from './catalogue/inheritance.js';
import { interference } from './catalogue/interference.js';
import { kernel } from './catalogue/kernel.js';
import { leftovers } from './catalogue/leftovers.js';
import { memory } from './catalogue/memory.js';
import { network } from './catalogue/network.js';
import { privileges } from './catalogue/privileges.js';
import { resources } from './catalogue/resources.js';
import { secrets } from './catalogue/secrets.js';
import { siblings } from './catalogue/siblings.js';
import { signals } from './catalogue/signals.js';
import { start } from './catalogue/start.js';

const groups: Readonly<Record<GuaranteeName, readonly Row[]>> = {
  memory,
  environ,
  debugger: debuggerAttacks,
  start,
  code,
  secrets,
  signals,
  interference,
  siblings,
  privileges,
  files,
  network,
  inheritance,
  kernel,
  resources,
  leftovers,
  identity,
  channel,
};

/** Every exploit, by guarantee. Each one works against an ordinary supervisor: test/proof-*.ts and `sallyport verify` insist. */
export const catalogue: readonly Attack[] = guaranteeNames.flatMap((guarantee) => groups[guarantee].map((row) => ({ ...row, guarantee })));
