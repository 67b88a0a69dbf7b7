#pragma once

// Kernel constants that the oldest supported headers (Debian 11, Linux 5.10)
// lack. Each names the kernel that added it. Whether the running kernel knows
// one is found out by calling it, never by comparing versions.

#include <linux/ioctl.h>
#include <linux/seccomp.h>
#include <linux/types.h>
#include <sys/syscall.h>

// Since 5.1 one numbering serves every architecture.
#ifndef __NR_pidfd_send_signal
#define __NR_pidfd_send_signal 424  // 5.1
#endif
#ifndef __NR_pidfd_open
#define __NR_pidfd_open 434  // 5.3
#endif
#ifndef __NR_pidfd_getfd
#define __NR_pidfd_getfd 438  // 5.6
#endif
#ifndef __NR_clone3
#define __NR_clone3 435  // 5.3
#endif
#ifndef __NR_close_range
#define __NR_close_range 436  // 5.9
#endif
#ifndef __NR_openat2
#define __NR_openat2 437  // 5.6
#endif
#ifndef __NR_landlock_create_ruleset
#define __NR_landlock_create_ruleset 444  // 5.13
#define __NR_landlock_add_rule 445
#define __NR_landlock_restrict_self 446
#endif
#ifndef __NR_memfd_secret
#define __NR_memfd_secret 447  // 5.14
#endif

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000  // 5.2
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ull  // 5.7
#endif
#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000  // 4.6
#endif
#ifndef P_PIDFD
#define P_PIDFD 3  // 5.4
#endif

#ifndef PIDFD_SIGNAL_PROCESS_GROUP
#define PIDFD_SIGNAL_PROCESS_GROUP (1UL << 2)  // 6.9
#endif

#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND (1UL << 1)  // 5.14
#endif
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)  // 5.19
#endif
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)  // 6.6
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS _IOW('!', 4, __u64)
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U  // 6.3
#endif
