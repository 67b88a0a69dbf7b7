#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "result.h"

namespace kernel {

size_t PageSize() noexcept;

// Whole pages for secrets, between two that fault when touched; not in core dumps, swap or fork
// copies. Given back as they are: who filled them wipes them.
// The kernel copies to and from memfd_secret memory, as read(2) and write(2) do, but pins
// none of it: O_DIRECT, vmsplice(2), process_vm_readv(2) and io_uring's buffers get EFAULT.
class SecretPages {
 public:
  enum class Kind {
    kMemfdSecret,  // out of reach of every other process, root and the kernel's own copies too
    kLocked,       // mlock(2): ordinary pages that stay out of swap and dumps
  };

  // `size` is rounded up to whole pages. `preferred` kMemfdSecret: memfd_secret(2), Linux 5.14, or kLocked where
  // the kernel has none. EAGAIN or ENOMEM when RLIMIT_MEMLOCK, which both take from, is spent.
  static Result<SecretPages> Map(size_t size, Kind preferred) noexcept;

  SecretPages() noexcept = default;
  SecretPages(SecretPages&& other) noexcept { *this = std::move(other); }
  SecretPages& operator=(SecretPages&& other) noexcept {
    std::swap(region_, other.region_);
    std::swap(region_size_, other.region_size_);
    std::swap(kind_, other.kind_);
    return *this;
  }
  ~SecretPages();

  uint8_t* data() const noexcept { return region_ == nullptr ? nullptr : region_ + PageSize(); }
  Kind kind() const noexcept { return kind_; }

  // Gives back the pages beyond the first `size` bytes; they fault when touched.
  void Truncate(size_t size) noexcept;

 private:
  Status Reserve(size_t size) noexcept;
  Status MapSecret() noexcept;
  Status MapLocked() noexcept;
  size_t size() const noexcept { return region_size_ - 2 * PageSize(); }

  uint8_t* region_ = nullptr;  // with the guard pages
  size_t region_size_ = 0;
  Kind kind_ = Kind::kLocked;
};

}  // namespace kernel
