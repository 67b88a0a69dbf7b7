#include "secret_pages.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "uapi.h"
#include "unique_fd.h"

namespace kernel {

namespace {

size_t WholePages(size_t size) noexcept { return (size + PageSize() - 1) / PageSize() * PageSize(); }

// Only these mean that the kernel has no memfd_secret, or that a seccomp filter hides
// it. Anything else, a spent RLIMIT_MEMLOCK above all, must not weaken a secret quietly.
bool Unsupported(const Status& status) noexcept {
  return status.err == ENOSYS || status.err == EPERM || status.err == EACCES;
}

}  // namespace

size_t PageSize() noexcept {
  static const size_t size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

Status SecretPages::Reserve(size_t size) noexcept {
  size_t whole = WholePages(size) + 2 * PageSize();
  void* region = mmap(nullptr, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (region == MAP_FAILED) return Status::FromErrno("mmap");
  region_ = static_cast<uint8_t*>(region);
  region_size_ = whole;
  return Status::Ok();
}

Status SecretPages::MapSecret() noexcept {
  UniqueFd fd(static_cast<int>(syscall(__NR_memfd_secret, O_CLOEXEC)));
  if (!fd) return Status::FromErrno("memfd_secret");
  if (ftruncate(fd.get(), static_cast<off_t>(size())) != 0) return Status::FromErrno("ftruncate");
  if (mmap(data(), size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd.get(), 0) == MAP_FAILED) {
    return Status::FromErrno("mmap");
  }
  kind_ = Kind::kMemfdSecret;
  return Status::Ok();
  // The descriptor is closed here: with pidfd_getfd(2) it would be a second way in.
}

Status SecretPages::MapLocked() noexcept {
  if (mprotect(data(), size(), PROT_READ | PROT_WRITE) != 0) return Status::FromErrno("mprotect");
  if (mlock(data(), size()) != 0) return Status::FromErrno("mlock");
  kind_ = Kind::kLocked;
  return Status::Ok();
}

Result<SecretPages> SecretPages::Map(size_t size, Kind preferred) noexcept {
  SecretPages pages;
  Status status = pages.Reserve(size);
  if (status.ok()) status = preferred == Kind::kMemfdSecret ? pages.MapSecret() : pages.MapLocked();
  if (preferred == Kind::kMemfdSecret && Unsupported(status)) status = pages.MapLocked();
  // Absent from the child of a fork(2), not zero in it: MADV_WIPEONFORK is for private pages alone, and memfd_secret's
  // are shared. A child that touches a secret ends by SIGSEGV, where a key of zeros would sign.
  for (int advice : {MADV_DONTFORK, MADV_DONTDUMP}) {
    if (status.ok() && madvise(pages.region_, pages.region_size_, advice) != 0) status = Status::FromErrno("madvise");
  }
  if (!status.ok()) return Result<SecretPages>::Error(status);
  return Result<SecretPages>::Of(std::move(pages));
}

void SecretPages::Truncate(size_t new_size) noexcept {
  size_t kept = WholePages(new_size);
  if (kept == 0 || kept >= size()) return;
  uint8_t* guard = data() + kept + PageSize();
  size_t beyond = static_cast<size_t>(region_ + region_size_ - guard);
  // The page after the last one kept becomes the guard; what follows goes, the old guard with it.
  if (mmap(guard - PageSize(), PageSize(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) return;
  munmap(guard, beyond);
  region_size_ -= beyond;
}

SecretPages::~SecretPages() {
  if (region_ != nullptr) munmap(region_, region_size_);
}

}  // namespace kernel
