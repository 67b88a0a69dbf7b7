#include "capabilities.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace kernel {

namespace {

constexpr int kBits = 64;
constexpr uint64_t Bit(int capability) { return uint64_t{1} << capability; }

using Data = __user_cap_data_struct[_LINUX_CAPABILITY_U32S_3];

Status Capget(Data data) noexcept {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  return syscall(SYS_capget, &header, data) == 0 ? Status::Ok() : Status::FromErrno("capget");
}

Status Capset(uint64_t effective, uint64_t permitted, uint64_t inheritable) noexcept {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  Data data;
  for (int half = 0; half < 2; half++) {
    data[half].effective = static_cast<uint32_t>(effective >> (32 * half));
    data[half].permitted = static_cast<uint32_t>(permitted >> (32 * half));
    data[half].inheritable = static_cast<uint32_t>(inheritable >> (32 * half));
  }
  return syscall(SYS_capset, &header, data) == 0 ? Status::Ok() : Status::FromErrno("capset");
}

uint64_t Join(uint32_t low, uint32_t high) noexcept { return uint64_t{high} << 32 | low; }

// NOROOT: an execve(2) as uid 0 gives nothing. NO_SETUID_FIXUP stays off: it would
// carry capabilities that were kept through a later setuid(2).
constexpr unsigned long kSecurebits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
                                      SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

Status DropBounding(uint64_t keep) noexcept {
  for (int capability = 0; capability < kBits; capability++) {
    int held = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    if (held < 0) break;  // EINVAL: past the last one this kernel knows
    if (held == 0 || (keep & Bit(capability)) != 0) continue;
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) return Status::FromErrno("prctl(PR_CAPBSET_DROP)");
  }
  int securebits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
  if (securebits < 0) return Status::FromErrno("prctl(PR_GET_SECUREBITS)");
  unsigned long wanted = static_cast<unsigned long>(securebits) | kSecurebits;
  if (prctl(PR_SET_SECUREBITS, wanted, 0, 0, 0) != 0) return Status::FromErrno("prctl(PR_SET_SECUREBITS)");
  return Status::Ok();
}

Status DropAmbient(uint64_t keep) noexcept {
  for (int capability = 0; capability < kBits; capability++) {
    int held = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0);
    if (held < 0) break;
    if (held == 0 || (keep & Bit(capability)) != 0) continue;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, capability, 0, 0) != 0) return Status::FromErrno("prctl(PR_CAP_AMBIENT)");
  }
  return Status::Ok();
}

}  // namespace

Result<Capabilities> GetCapabilitiesOnCurrentThread() noexcept {
  Data data;
  Status status = Capget(data);
  if (!status.ok()) return Result<Capabilities>::Error(status);
  Capabilities found;
  found.effective = Join(data[0].effective, data[1].effective);
  found.permitted = Join(data[0].permitted, data[1].permitted);
  found.inheritable = Join(data[0].inheritable, data[1].inheritable);
  for (int capability = 0; capability < kBits; capability++) {
    int bounding = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    if (bounding < 0) break;
    if (bounding == 1) found.bounding |= Bit(capability);
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) == 1) found.ambient |= Bit(capability);
  }
  found.securebits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
  if (found.securebits < 0) return Result<Capabilities>::Error(Status::FromErrno("prctl(PR_GET_SECUREBITS)"));
  return Result<Capabilities>::Of(found);
}

Status DropCapabilitiesOnCurrentThread(uint64_t keep) noexcept {
  Data data;
  Status status = Capget(data);
  if (!status.ok()) return status;
  uint64_t permitted = Join(data[0].permitted, data[1].permitted);
  uint64_t inheritable = Join(data[0].inheritable, data[1].inheritable);
  uint64_t effective = Join(data[0].effective, data[1].effective);

  // The bounding set first: it needs CAP_SETPCAP, which goes with the rest.
  if ((permitted & Bit(CAP_SETPCAP)) != 0) {
    if ((effective & Bit(CAP_SETPCAP)) == 0) status = Capset(effective | Bit(CAP_SETPCAP), permitted, inheritable);
    if (status.ok()) status = DropBounding(keep);
    if (!status.ok()) return status;
  }
  status = DropAmbient(keep);
  if (!status.ok()) return status;
  return Capset(effective & keep, permitted & keep, inheritable & keep);
}

Status KeepCapabilitiesOverExec() noexcept {
  Data data;
  Status status = Capget(data);
  if (!status.ok()) return status;
  const uint64_t permitted = Join(data[0].permitted, data[1].permitted);
  status = Capset(permitted, permitted, permitted);
  for (int capability = 0; status.ok() && capability < kBits; capability++) {
    if ((permitted & Bit(capability)) == 0) continue;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) != 0) status = Status::FromErrno("prctl(PR_CAP_AMBIENT)");
  }
  return status;
}

EachThreadResult DropCapabilities(uint64_t keep) noexcept {
  return OnEachThread(
      [](const void* argument) { return DropCapabilitiesOnCurrentThread(*static_cast<const uint64_t*>(argument)); },
      &keep);
}

}  // namespace kernel
