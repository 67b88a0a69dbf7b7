#include "secret_memory.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <new>

#include "clock.h"

namespace kernel {

// One bit for each slot that is taken. It is on the ordinary heap: what it tells is no secret.
struct SecretMemory::SharedPage {
  SecretPages pages;
  Kind preferred;
  uint64_t taken = 0;
  SharedPage* next = nullptr;

  static constexpr size_t kSlots = 64;
  static size_t SlotSize() noexcept { return PageSize() / kSlots; }
  static size_t SlotsFor(size_t size) noexcept { return (size + SlotSize() - 1) / SlotSize(); }
  static uint64_t Run(size_t slots) noexcept { return slots == kSlots ? ~uint64_t{0} : (uint64_t{1} << slots) - 1; }

  // The first of `slots` free ones in a row, or kSlots.
  size_t Room(size_t slots) const noexcept {
    for (size_t first = 0; first + slots <= kSlots; first++) {
      if ((taken & Run(slots) << first) == 0) return first;
    }
    return kSlots;
  }

  // Of worker threads too. Never destroyed: at exit() there may be secrets still.
  static std::mutex mutex;
  static SharedPage* all;

  void Free(const uint8_t* from, size_t slots) noexcept {
    std::lock_guard<std::mutex> lock(mutex);
    taken &= ~(Run(slots) << static_cast<size_t>(from - pages.data()) / SlotSize());
    if (taken != 0) return;
    SharedPage** link = &all;
    while (*link != this) link = &(*link)->next;
    *link = next;
    delete this;
  }
};

std::mutex SecretMemory::SharedPage::mutex;
SecretMemory::SharedPage* SecretMemory::SharedPage::all = nullptr;

Status SecretMemory::TakeSlots(size_t size, Kind preferred) noexcept {
  size_t slots = SharedPage::SlotsFor(size), first = SharedPage::kSlots;
  std::lock_guard<std::mutex> lock(SharedPage::mutex);
  SharedPage* page = SharedPage::all;
  for (; page != nullptr; page = page->next) {
    if (page->preferred == preferred && (first = page->Room(slots)) != SharedPage::kSlots) break;
  }
  if (page == nullptr) {
    auto mapped = SecretPages::Map(PageSize(), preferred);
    if (!mapped.ok()) return mapped.status;
    page = new (std::nothrow) SharedPage{std::move(mapped.value), preferred, 0, SharedPage::all};
    if (page == nullptr) return Status::Error(ENOMEM, "malloc");
    SharedPage::all = page;
    first = 0;
  }
  page->taken |= SharedPage::Run(slots) << first;
  shared_ = page;
  data_ = page->pages.data() + first * SharedPage::SlotSize();
  return Status::Ok();
}

Result<SecretMemory> SecretMemory::Make(size_t size, Kind preferred) noexcept {
  using Made = Result<SecretMemory>;
  SecretMemory memory;
  if (size <= PageSize()) {
    Status status = memory.TakeSlots(size == 0 ? 1 : size, preferred);
    if (!status.ok()) return Made::Error(status);
  } else {
    auto mapped = SecretPages::Map(size, preferred);
    if (!mapped.ok()) return Made::Error(mapped.status);
    memory.own_ = std::move(mapped.value);
    memory.data_ = memory.own_.data();
  }
  memory.size_ = size;
  return Made::Of(std::move(memory));
}

Result<SecretMemory> SecretMemory::Create(size_t size) noexcept { return Make(size, Kind::kMemfdSecret); }
Result<SecretMemory> SecretMemory::CreateLocked(size_t size) noexcept { return Make(size, Kind::kLocked); }

SecretMemory::~SecretMemory() {
  Wipe();
  if (shared_ != nullptr) shared_->Free(data_, SharedPage::SlotsFor(std::max<size_t>(size_, 1)));
}

SecretMemory::Kind SecretMemory::kind() const noexcept { return shared_ != nullptr ? shared_->pages.kind() : own_.kind(); }

void SecretMemory::Wipe() noexcept {
  if (size_ != 0) explicit_bzero(data_, size_);
}

void SecretMemory::Shrink(size_t size) noexcept {
  if (size >= size_) return;
  explicit_bzero(data_ + size, size_ - size);
  if (shared_ == nullptr) {
    own_.Truncate(std::max<size_t>(size, 1));
  } else {
    size_t kept = SharedPage::SlotsFor(std::max<size_t>(size, 1)), held = SharedPage::SlotsFor(size_);
    if (kept < held) shared_->Free(data_ + kept * SharedPage::SlotSize(), held - kept);
  }
  size_ = size;
}

namespace {

// Until there is something to read, or no writer any more; at once for a regular file.
Status Readable(int fd, int64_t deadline_ms) noexcept {
  for (;;) {
    pollfd polled = {fd, POLLIN, 0};
    int ready = poll(&polled, 1, static_cast<int>(std::max<int64_t>(deadline_ms - NowMs(), 0)));
    if (ready > 0) return Status::Ok();
    if (ready == 0) return Status::Error(ETIMEDOUT, "poll");
    if (errno != EINTR) return Status::FromErrno("poll");
  }
}

}  // namespace

Result<SecretMemory> ReadSecret(int fd, const ReadOptions& options) noexcept {
  using Read = Result<SecretMemory>;
  constexpr size_t expected = 256;       // of a pipe: as long as most tokens and keys
  const size_t full = options.most + 2;  // the newline, and one more to see that there is more
  int64_t deadline_ms = NowMs() + options.timeout_ms;
  struct stat stats;
  if (fstat(fd, &stats) != 0) return Read::Error(Status::FromErrno("fstat"));
  size_t whole = S_ISREG(stats.st_mode) && stats.st_size > 0 ? static_cast<size_t>(stats.st_size) + 2 : expected;
  auto secret = SecretMemory::Create(std::min(whole, full));
  if (!secret.ok()) return secret;
  for (size_t length = 0;;) {
    if (length == secret.value.size()) {
      if (length == full) return Read::Error(Status::Error(EFBIG, "read"));
      auto larger = SecretMemory::Create(std::min(2 * length, full));
      if (!larger.ok()) return larger;
      memcpy(larger.value.data(), secret.value.data(), length);
      std::swap(secret, larger);
    }
    Status ready = Readable(fd, deadline_ms);
    if (!ready.ok()) return Read::Error(ready);
    ssize_t got = read(fd, secret.value.data() + length, secret.value.size() - length);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) return Read::Error(Status::FromErrno("read"));
    if (got > 0) {
      length += static_cast<size_t>(got);
      continue;
    }
    if (!options.keep_newline && length > 0 && secret.value.data()[length - 1] == '\n') length--;
    if (length == 0) return Read::Error(Status::Error(ENODATA, "read"));
    if (length > options.most) return Read::Error(Status::Error(EFBIG, "read"));
    secret.value.Shrink(length);
    return secret;
  }
}

bool SameBytes(const SecretMemory& a, const SecretMemory& b) noexcept {
  if (a.size() != b.size()) return false;
  volatile uint8_t difference = 0;
  for (size_t i = 0; i < a.size(); i++) difference = difference | (a.data()[i] ^ b.data()[i]);
  return difference == 0;
}

}  // namespace kernel
