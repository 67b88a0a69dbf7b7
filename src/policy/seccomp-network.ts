import type { ArgumentTest, SyscallRule } from '../kernel/seccomp.js';
import type { SyscallName } from '../kernel/syscalls.js';
import { namesOf, type NetworkPlan } from './network.js';
import { EACCES, examined, int, ownBuffers } from './seccomp-arguments.js';

const ENOPROTOOPT = { errno: 92 };

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const IPPROTO_TCP = 6;
/** The types of socket(2); above them are SOCK_NONBLOCK and SOCK_CLOEXEC. */
const SOCK_TYPE_MASK = 0xf;

/**
 * Options of setsockopt(2) that ordinary programs set on TCP sockets, by level. Not among them: routes and source routes (IP_OPTIONS,
 * IPV6_RTHDR, SO_DONTROUTE), devices and marks (SO_BINDTODEVICE, SO_MARK), programs for the kernel (SO_ATTACH_FILTER and its kin), a port
 * shared with others of the user (SO_REUSEPORT), data before the connect is examined (TCP_FASTOPEN, TCP_FASTOPEN_CONNECT), sockets made
 * of nothing (TCP_REPAIR), other protocols on top (TCP_ULP), other congestion control, which loads modules.
 */
const socketOptions: readonly (readonly [level: number, options: readonly number[]])[] = [
  // SOL_SOCKET: SO_REUSEADDR, SO_KEEPALIVE, SO_OOBINLINE, SO_LINGER, SO_PASSCRED, SO_RCVLOWAT, SO_RCVTIMEO, SO_SNDTIMEO and the two for 64-bit times
  [1, [2, 9, 10, 13, 16, 18, 20, 21, 66, 67]],
  // IPPROTO_IP: IP_TOS, IP_TTL, IP_BIND_ADDRESS_NO_PORT
  [0, [1, 2, 24]],
  // IPPROTO_IPV6: IPV6_UNICAST_HOPS, IPV6_V6ONLY, IPV6_TCLASS
  [41, [16, 26, 67]],
  // IPPROTO_TCP: NODELAY, MAXSEG, CORK, KEEPIDLE, KEEPINTVL, KEEPCNT, LINGER2, DEFER_ACCEPT, WINDOW_CLAMP, QUICKACK, THIN_LINEAR_TIMEOUTS, USER_TIMEOUT, NOTSENT_LOWAT
  [IPPROTO_TCP, [1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 16, 18, 25]],
];

const notify = (...tests: ArgumentTest[]): { readonly tests: readonly ArgumentTest[]; readonly action: 'notify' } => ({ tests, action: 'notify' });

/**
 * What a plan with a network changes in the profile: the calls that decide who is reached go to the supervisor, which makes them itself
 * (native/kernel/network.cc). Of socket(2) TCP alone, and only by its own number, so that MPTCP stays out. Pure.
 */
export function networkRules(plan: NetworkPlan): Partial<Record<SyscallName, SyscallRule>> {
  const connects = plan.connect.length > 0;
  const listens = plan.listen.length > 0;
  const asks: SyscallRule = { action: 'notify' };
  return {
    socket: {
      clauses: [AF_INET, AF_INET6].flatMap((family) => [0, IPPROTO_TCP].map((protocol) => notify(int(0, family), int(1, SOCK_STREAM, SOCK_TYPE_MASK), int(2, protocol)))),
      action: EACCES,
    },
    setsockopt: {
      clauses: [
        ...ownBuffers,
        ...socketOptions.flatMap(([level, options]) => options.map((option) => ({ tests: [int(1, level), int(2, option)], action: 'allow' as const }))),
      ],
      action: ENOPROTOOPT,
    },
    ...(connects && { connect: asks }),
    ...(listens && { bind: asks, listen: asks, accept: { action: 'allow' }, accept4: { action: 'allow' } }),
    // /etc/hosts is ours; every other path goes on to Landlock.
    ...(namesOf(plan).length > 0 && { open: { ...examined.open, ...asks }, openat: { ...examined.openat, ...asks } }),
  };
}
