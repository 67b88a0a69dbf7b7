#include "secret_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "uapi.h"
#include "unique_fd.h"

namespace kernel {

namespace {

size_t PageSize() noexcept { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

// Only these mean that the kernel has no memfd_secret, or that a seccomp filter hides
// it. Anything else, a spent RLIMIT_MEMLOCK above all, must not weaken a secret quietly.
bool Unsupported(const Status& status) noexcept {
  return status.err == ENOSYS || status.err == EPERM || status.err == EACCES;
}

}  // namespace

Status SecretMemory::Reserve(size_t size) noexcept {
  size_t page = PageSize();
  region_size_ = (size + page - 1) / page * page + 2 * page;
  void* region = mmap(nullptr, region_size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (region == MAP_FAILED) return Status::FromErrno("mmap");
  region_ = region;
  data_ = static_cast<uint8_t*>(region) + page;
  return Status::Ok();
}

Status SecretMemory::MapSecret() noexcept {
  UniqueFd fd(static_cast<int>(syscall(__NR_memfd_secret, O_CLOEXEC)));
  if (!fd) return Status::FromErrno("memfd_secret");
  size_t length = region_size_ - 2 * PageSize();
  if (ftruncate(fd.get(), static_cast<off_t>(length)) != 0) return Status::FromErrno("ftruncate");
  if (mmap(data_, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd.get(), 0) == MAP_FAILED) {
    return Status::FromErrno("mmap");
  }
  kind_ = Kind::kMemfdSecret;
  return Status::Ok();
  // The descriptor is closed here: with pidfd_getfd(2) it would be a second way in.
}

Status SecretMemory::MapLocked() noexcept {
  size_t length = region_size_ - 2 * PageSize();
  if (mprotect(data_, length, PROT_READ | PROT_WRITE) != 0) return Status::FromErrno("mprotect");
  if (mlock(data_, length) != 0) return Status::FromErrno("mlock");
  if (madvise(data_, length, MADV_DONTDUMP) != 0) return Status::FromErrno("madvise");
  kind_ = Kind::kLocked;
  return Status::Ok();
}

Result<SecretMemory> SecretMemory::Make(size_t size, bool secret) noexcept {
  SecretMemory memory;
  Status status = memory.Reserve(size);
  if (status.ok()) status = secret ? memory.MapSecret() : memory.MapLocked();
  if (secret && Unsupported(status)) status = memory.MapLocked();
  // Shared pages cannot be wiped on fork(2), so both kinds are absent from the child.
  if (status.ok() && madvise(memory.region_, memory.region_size_, MADV_DONTFORK) != 0) status = Status::FromErrno("madvise");
  if (!status.ok()) return Result<SecretMemory>::Error(status);
  memory.size_ = size;
  return Result<SecretMemory>::Of(std::move(memory));
}

Result<SecretMemory> SecretMemory::Create(size_t size) noexcept { return Make(size, true); }
Result<SecretMemory> SecretMemory::CreateLocked(size_t size) noexcept { return Make(size, false); }

SecretMemory::~SecretMemory() {
  Wipe();
  if (region_ != nullptr) munmap(region_, region_size_);
}

void SecretMemory::Wipe() noexcept {
  if (size_ != 0) explicit_bzero(data_, size_);
}

void SecretMemory::Shrink(size_t size) noexcept {
  if (size >= size_) return;
  explicit_bzero(data_ + size, size_ - size);
  size_ = size;
}

Result<SecretMemory> ReadSecret(int fd, size_t most) noexcept {
  using Read = Result<SecretMemory>;
  auto secret = SecretMemory::Create(most + 2);  // the newline, and one more to see that there is more
  if (!secret.ok()) return secret;
  size_t length = 0;
  while (length < secret.value.size()) {
    ssize_t got = read(fd, secret.value.data() + length, secret.value.size() - length);
    if (got == 0) break;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Read::Error(Status::FromErrno("read"));
    length += static_cast<size_t>(got);
  }
  if (length > 0 && secret.value.data()[length - 1] == '\n') length--;
  if (length == 0) return Read::Error(Status::Error(ENODATA, "read"));
  if (length > most) return Read::Error(Status::Error(EFBIG, "read"));
  secret.value.Shrink(length);
  return secret;
}

bool SameBytes(const SecretMemory& a, const SecretMemory& b) noexcept {
  if (a.size() != b.size()) return false;
  volatile uint8_t difference = 0;
  for (size_t i = 0; i < a.size(); i++) difference = difference | (a.data()[i] ^ b.data()[i]);
  return difference == 0;
}

}  // namespace kernel
