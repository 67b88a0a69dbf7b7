#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "result.h"
#include "secret_pages.h"

namespace kernel {

// One secret's bytes: 64 slots to a page (64 bytes each where that is 4 KiB) that small secrets share, pages of its own beyond
// that. Wiped before its slots can be another's; a page goes back to the kernel with the last secret in it.
// A process that ends with some does not wipe: the kernel takes the pages back, and no process gets one before it is zero.
// Made and destroyed on any thread; each one is its owner's to synchronise.
class SecretMemory {
 public:
  using Kind = SecretPages::Kind;

  // Zeros. EAGAIN or ENOMEM when RLIMIT_MEMLOCK is spent and no page has room.
  static Result<SecretMemory> Create(size_t size) noexcept;
  // Ordinary locked pages, as where the kernel has no memfd_secret(2).
  static Result<SecretMemory> CreateLocked(size_t size) noexcept;

  SecretMemory() noexcept = default;
  SecretMemory(SecretMemory&& other) noexcept { *this = std::move(other); }
  SecretMemory& operator=(SecretMemory&& other) noexcept {
    std::swap(shared_, other.shared_);
    std::swap(own_, other.own_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~SecretMemory();

  uint8_t* data() const noexcept { return data_; }
  size_t size() const noexcept { return size_; }
  Kind kind() const noexcept;

  void Wipe() noexcept;
  // Wipes and gives back what is beyond `size`, but for the first slot or page.
  void Shrink(size_t size) noexcept;

 private:
  struct SharedPage;
  static Result<SecretMemory> Make(size_t size, Kind preferred) noexcept;
  Status TakeSlots(size_t size, Kind preferred) noexcept;

  SharedPage* shared_ = nullptr;  // the page it has slots of
  SecretPages own_;               // otherwise
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

struct ReadOptions {
  size_t most;                // bytes
  int timeout_ms;             // for all of it
  bool keep_newline = false;  // else one at the end is dropped, as in a file that an editor wrote
};

// Everything that is left to read of `fd`, with no copy on the way. EFBIG when it is more than `most`
// bytes, ENODATA when there is nothing, ETIMEDOUT when a writer has not closed its end in time.
Result<SecretMemory> ReadSecret(int fd, const ReadOptions& options) noexcept;

// Takes the same time wherever the first difference is.
bool SameBytes(const SecretMemory& a, const SecretMemory& b) noexcept;

}  // namespace kernel
