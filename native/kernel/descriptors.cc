#include "descriptors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "uapi.h"

namespace kernel {

Result<DescriptorPair> SocketPair() noexcept {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
    return {Status::FromErrno("socketpair"), {}};
  // What a peer attaches to its bytes would be closed unseen, which takes time that it
  // chooses. Since Linux 6.16 it can be refused at the sender; before, it is closed.
  constexpr int kSoPassRights = 83;
  int no = 0;
  setsockopt(fds[0], SOL_SOCKET, kSoPassRights, &no, sizeof(no));
  return {Status::Ok(), {UniqueFd(fds[0]), UniqueFd(fds[1])}};
}

Result<DescriptorPair> Pipe(bool we_read) noexcept {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return {Status::FromErrno("pipe2"), {}};
  if (we_read) return {Status::Ok(), {UniqueFd(fds[0]), UniqueFd(fds[1])}};
  return {Status::Ok(), {UniqueFd(fds[1]), UniqueFd(fds[0])}};
}

Result<UniqueFd> MemoryFile(const char* name) noexcept {
  UniqueFd file(static_cast<int>(syscall(__NR_memfd_create, name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL)));
  if (!file && errno == EINVAL) file.reset(static_cast<int>(syscall(__NR_memfd_create, name, MFD_CLOEXEC | MFD_ALLOW_SEALING)));
  if (!file) return Result<UniqueFd>::Error(Status::FromErrno("memfd_create"));
  return Result<UniqueFd>::Of(std::move(file));
}

Status ArrangeDescriptors(int* sources, size_t count) noexcept {
  // First out of the way: a source below `count` could be overwritten before its turn.
  for (size_t i = 0; i < count; i++) {
    if (sources[i] < static_cast<int>(count)) {
      sources[i] = fcntl(sources[i], F_DUPFD_CLOEXEC, static_cast<int>(count));
      if (sources[i] < 0) return Status::FromErrno("fcntl");
    }
  }
  for (size_t i = 0; i < count; i++) {
    if (dup3(sources[i], static_cast<int>(i), 0) < 0) return Status::FromErrno("dup3");
  }
  if (syscall(__NR_close_range, static_cast<unsigned>(count), ~0u, 0) != 0)
    return Status::FromErrno("close_range");
  return Status::Ok();
}

Result<size_t> SendDescriptor(int socket, int fd, const void* bytes, size_t length) noexcept {
  iovec data{const_cast<void*>(bytes), length};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &fd, sizeof(int));
  ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) return Result<size_t>::Error(Status::FromErrno("sendmsg"));
  return Result<size_t>::Of(static_cast<size_t>(sent));
}

Result<size_t> ReceiveDescriptor(int socket, void* bytes, size_t length, UniqueFd* fd) noexcept {
  iovec data{bytes, length};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t got;
  do {
    got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return Result<size_t>::Error(Status::FromErrno("recvmsg"));
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
    int received;
    memcpy(&received, CMSG_DATA(header), sizeof(received));
    fd->reset(received);
  }
  return Result<size_t>::Of(static_cast<size_t>(got));
}

}  // namespace kernel
