#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "result.h"

namespace kernel {

// Pages of their own for one secret, between two pages that fault when touched; not
// in core dumps, swap or fork copies; wiped before they are given back. A process that ends
// with them does not wipe: the kernel takes the pages back, and no process gets one before it is zero.
// The kernel copies to and from memfd_secret memory, as read(2) and write(2) do, but pins
// none of it: O_DIRECT, vmsplice(2), process_vm_readv(2) and io_uring's buffers get EFAULT.
class SecretMemory {
 public:
  enum class Kind {
    kMemfdSecret,  // out of reach of every other process, root and the kernel's own copies too
    kLocked,       // mlock(2): an ordinary page that stays out of swap and dumps
  };

  // memfd_secret(2), Linux 5.14; mlock(2) where the kernel has none. Each takes at
  // least a page of RLIMIT_MEMLOCK: EAGAIN or ENOMEM when that is spent.
  static Result<SecretMemory> Create(size_t size) noexcept;
  static Result<SecretMemory> CreateLocked(size_t size) noexcept;

  SecretMemory() noexcept = default;
  SecretMemory(SecretMemory&& other) noexcept { *this = std::move(other); }
  SecretMemory& operator=(SecretMemory&& other) noexcept {
    std::swap(region_, other.region_);
    std::swap(region_size_, other.region_size_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(kind_, other.kind_);
    return *this;
  }
  ~SecretMemory();

  uint8_t* data() const noexcept { return data_; }
  size_t size() const noexcept { return size_; }
  Kind kind() const noexcept { return kind_; }

  void Wipe() noexcept;
  // Wipes and forgets what is beyond `size`; its pages stay until the end.
  void Shrink(size_t size) noexcept;

 private:
  static Result<SecretMemory> Make(size_t size, bool secret) noexcept;
  Status Reserve(size_t size) noexcept;
  Status MapSecret() noexcept;
  Status MapLocked() noexcept;

  void* region_ = nullptr;  // with the guard pages
  size_t region_size_ = 0;
  uint8_t* data_ = nullptr;
  size_t size_ = 0;  // 0 until its pages are there
  Kind kind_ = Kind::kLocked;
};

// Everything that is left to read of `fd`, with no copy on the way; one newline at the
// end is dropped, as in a file that an editor wrote. EFBIG when it is more than `most`
// bytes, ENODATA when there is nothing.
Result<SecretMemory> ReadSecret(int fd, size_t most) noexcept;

// Takes the same time wherever the first difference is.
bool SameBytes(const SecretMemory& a, const SecretMemory& b) noexcept;

}  // namespace kernel
