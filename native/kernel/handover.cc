#include "handover.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstring>

#include "descriptors.h"
#include "uapi.h"

namespace kernel {

namespace {

constexpr unsigned long kSecretmemMagic = 0x5345434d;  // linux/magic.h, 5.14
// Not against writing: the receiver overwrites it.
constexpr int kSeals = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;

// Calls `with` with the whole of `fd` in memory. The kernel takes a shared mapping of
// memfd_secret alone, and none of read(2) and write(2).
template <typename With>
Status Mapped(int fd, size_t length, With with) noexcept {
  void* mapping = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapping == MAP_FAILED) return Status::FromErrno("mmap");
  // Neither in a core nor in a process that is forked meanwhile.
  Status status = madvise(mapping, length, MADV_DONTDUMP) == 0 && madvise(mapping, length, MADV_DONTFORK) == 0
                      ? Status::Ok()
                      : Status::FromErrno("madvise");
  if (status.ok()) with(static_cast<uint8_t*>(mapping));
  munmap(mapping, length);
  return status;
}

bool IsHandover(int fd) noexcept {
  struct statfs filesystem;
  if (fstatfs(fd, &filesystem) != 0) return false;
  const int seals = fcntl(fd, F_GET_SEALS);  // -1: of a file that has none
  return static_cast<unsigned long>(filesystem.f_type) == kSecretmemMagic || (seals >= 0 && (seals & kSeals) == kSeals);
}

}  // namespace

Result<UniqueFd> MakeHandover(const uint8_t* bytes, size_t length) noexcept {
  using Made = Result<UniqueFd>;
  UniqueFd fd(static_cast<int>(syscall(__NR_memfd_secret, O_CLOEXEC)));
  const bool secret = static_cast<bool>(fd);
  if (!secret && errno != ENOSYS && errno != EPERM && errno != EACCES) return Made::Error(Status::FromErrno("memfd_secret"));
  if (!secret) {
    auto file = MemoryFile("sallyport-secret");
    if (!file.ok()) return file;
    fd = std::move(file.value);
  }
  if (ftruncate(fd.get(), static_cast<off_t>(length)) != 0) return Made::Error(Status::FromErrno("ftruncate"));
  Status status = Mapped(fd.get(), length, [&](uint8_t* there) { memcpy(there, bytes, length); });
  // A memfd_secret cannot be resized once it has a size.
  if (status.ok() && !secret && fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) status = Status::FromErrno("fcntl(F_ADD_SEALS)");
  if (!status.ok()) return Made::Error(status);
  return Made::Of(std::move(fd));
}

Result<size_t> HandoverSize(int fd) noexcept {
  using Size = Result<size_t>;
  struct stat stats;
  if (fstat(fd, &stats) != 0) return Size::Error(Status::FromErrno("fstat"));
  if (!IsHandover(fd) || stats.st_size <= 0) return Size::Error(Status::Error(EINVAL, "fstat"));
  return Size::Of(static_cast<size_t>(stats.st_size));
}

Status TakeHandover(int fd, uint8_t* bytes, size_t length) noexcept {
  auto size = HandoverSize(fd);
  if (!size.ok()) return size.status;
  UniqueFd taken(fd);
  if (size.value != length) return Status::Error(EMSGSIZE, "fstat");
  return Mapped(fd, length, [&](uint8_t* there) {
    memcpy(bytes, there, length);
    explicit_bzero(there, length);
  });
}

}  // namespace kernel
