#include "notify.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "descriptors.h"
#include "uapi.h"

namespace kernel {

Listener::Listener(UniqueFd fd) noexcept : fd_(std::move(fd)) {
  // The caller is woken on the processor that answers it: one task waits for one thread
  // of ours. A third of the time of a call. Linux 6.6; without it nothing is lost.
  ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
}

Status Listener::Receive(Notification* into) const noexcept {
  memset(into, 0, sizeof(*into));  // the kernel insists
  if (ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_RECV, into) != 0) return Status::FromErrno("ioctl");
  return Status::Ok();
}

bool Listener::Waits(const Notification& call) const noexcept {
  return ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &call.id) == 0;
}

void Listener::Answer(uint64_t id, int64_t value) const noexcept {
  seccomp_notif_resp response{};
  response.id = id;
  if (value < 0) {
    response.error = static_cast<int32_t>(value);
  } else {
    response.val = value;
  }
  // ENOENT: it has ended meanwhile, and needs no answer.
  ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_SEND, &response);
}

void Listener::Continue(uint64_t id) const noexcept {
  seccomp_notif_resp response{};
  response.id = id;
  response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_SEND, &response);
}

Status Listener::AnswerWithDescriptor(uint64_t id, int fd, bool close_on_exec) const noexcept {
  seccomp_notif_addfd added{};
  added.id = id;
  added.flags = SECCOMP_ADDFD_FLAG_SEND;
  added.srcfd = static_cast<uint32_t>(fd);
  added.newfd_flags = close_on_exec ? O_CLOEXEC : 0;
  if (ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_ADDFD, &added) < 0) return Status::FromErrno("ioctl");
  return Status::Ok();
}

Result<size_t> ReadMemory(pid_t tid, uint64_t address, void* into, size_t length) noexcept {
  iovec local{into, length};
  iovec remote{reinterpret_cast<void*>(address), length};
  ssize_t got = process_vm_readv(tid, &local, 1, &remote, 1, 0);
  if (got < 0 && (errno == ENOSYS || errno == EPERM)) {
    // A container's filter may keep process_vm_readv from us; what is asked for is the same.
    char path[32];
    snprintf(path, sizeof(path), "/proc/%d/mem", tid);
    const UniqueFd memory(open(path, O_RDONLY | O_CLOEXEC));
    if (!memory) return Result<size_t>::Error(Status::FromErrno("open"));
    got = pread64(memory.get(), into, length, static_cast<off64_t>(address));
    if (got < 0 && errno == EIO) errno = EFAULT;
  }
  if (got < 0) return Result<size_t>::Error(Status::FromErrno("process_vm_readv"));
  return Result<size_t>::Of(static_cast<size_t>(got));
}

void WriteMemory(pid_t tid, uint64_t address, const void* from, size_t length) noexcept {
  iovec local{const_cast<void*>(from), length};
  iovec remote{reinterpret_cast<void*>(address), length};
  if (process_vm_writev(tid, &local, 1, &remote, 1, 0) >= 0 || (errno != ENOSYS && errno != EPERM)) return;
  char path[32];
  snprintf(path, sizeof(path), "/proc/%d/mem", tid);
  const UniqueFd memory(open(path, O_WRONLY | O_CLOEXEC));
  if (memory) (void)!pwrite64(memory.get(), from, length, static_cast<off64_t>(address));
}

bool NotificationsAvailable() noexcept {
  seccomp_notif_sizes sizes{};
  if (syscall(__NR_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) != 0) return false;
  return sizes.seccomp_notif == sizeof(seccomp_notif) && sizes.seccomp_notif_resp == sizeof(seccomp_notif_resp);
}

Result<ListenerPair> ListenerSocketPair() noexcept {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) return {Status::FromErrno("socketpair"), {}};
  return {Status::Ok(), {UniqueFd(fds[0]), UniqueFd(fds[1])}};
}

Result<UniqueFd> ReceiveListener(int socket) noexcept {
  char byte;
  UniqueFd listener;
  auto got = ReceiveDescriptor(socket, &byte, sizeof(byte), &listener);
  if (got.ok() && !listener) got.status = Status::Error(ENODATA, "recvmsg");
  return {got.status, std::move(listener)};
}

}  // namespace kernel
