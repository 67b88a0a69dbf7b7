#include "environment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "self_stat.h"
#include "unique_fd.h"

extern "C" char** environ;

namespace kernel {

namespace {

struct Area {
  char* begin = nullptr;
  char* end = nullptr;

  size_t size() const noexcept { return static_cast<size_t>(end - begin); }
  bool holds(const char* pointer) const noexcept { return pointer >= begin && pointer < end; }
};

// Where WipeEnvironment() moved the variables.
Area moved;

Result<Area> EnvironmentArea() noexcept {
  auto stat = ReadSelfStat();
  if (!stat.ok()) return Result<Area>::Error(stat.status);
  return Result<Area>::Of({reinterpret_cast<char*>(stat.value.env_start), reinterpret_cast<char*>(stat.value.env_end)});
}

// Strings that setenv(3) made lie on the heap, not in the area: they stay where they are.
Status MoveVariables(const Area& area) noexcept {
  size_t bytes = 0;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; entry++) {
    if (area.holds(*entry)) bytes += strlen(*entry) + 1;
  }
  if (bytes == 0) return Status::Ok();
  void* mapping = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) return Status::FromErrno("mmap");
  if (madvise(mapping, bytes, MADV_DONTDUMP) != 0) {
    Status status = Status::FromErrno("madvise");
    munmap(mapping, bytes);
    return status;
  }
  moved.begin = moved.end = static_cast<char*>(mapping);
  for (char** entry = environ; *entry != nullptr; entry++) {
    if (!area.holds(*entry)) continue;
    size_t length = strlen(*entry) + 1;
    memcpy(moved.end, *entry, length);
    __atomic_store_n(entry, moved.end, __ATOMIC_RELEASE);
    moved.end += length;
  }
  return Status::Ok();
}

bool IsZero(const char* begin, const char* end) noexcept {
  for (const volatile char* byte = begin; byte < end; byte++) {
    if (*byte != 0) return false;
  }
  return true;
}

// Overwrites [from, area.end) and reads it back, from memory and as `file` shows the area.
Result<Wiped> Overwrite(const Area& area, char* from, const char* file) noexcept {
  if (from < area.end) explicit_bzero(from, static_cast<size_t>(area.end - from));
  if (!IsZero(from, area.end)) return Result<Wiped>::Error(Status::Error(EIO, "explicit_bzero"));
  Wiped wiped;
  wiped.bytes = static_cast<size_t>(area.end - from);
  UniqueFd shown(open(file, O_RDONLY | O_CLOEXEC));
  if (!shown) {
    if (errno == EACCES || errno == EPERM) return Result<Wiped>::Of(wiped);
    return Result<Wiped>::Error(Status::FromErrno("open"));
  }
  char bytes[4096];
  size_t position = 0, kept = static_cast<size_t>(from - area.begin);
  ssize_t got;
  while ((got = read(shown.get(), bytes, sizeof bytes)) > 0) {
    size_t length = static_cast<size_t>(got);
    size_t skip = position < kept ? (kept - position < length ? kept - position : length) : 0;
    if (!IsZero(bytes + skip, bytes + length)) return Result<Wiped>::Error(Status::Error(EIO, "read"));
    position += length;
  }
  if (got < 0) return Result<Wiped>::Error(Status::FromErrno("read"));
  wiped.seen_in_proc = true;
  return Result<Wiped>::Of(wiped);
}

// The value, when `variable` is "name=value".
char* ValueOf(char* variable, const char* name, size_t name_length) noexcept {
  return strncmp(variable, name, name_length) == 0 && variable[name_length] == '=' ? variable + name_length + 1 : nullptr;
}

// Overwrites every value of the variable in an area of strings, whether environ still points there or not.
void WipeValuesIn(const Area& area, const char* name, size_t name_length) noexcept {
  for (char* variable = area.begin; variable < area.end;) {
    size_t length = strnlen(variable, static_cast<size_t>(area.end - variable));
    if (length > name_length) {
      if (char* value = ValueOf(variable, name, name_length)) explicit_bzero(value, length - name_length - 1);
    }
    variable += length + 1;
  }
}

}  // namespace

Result<Wiped> WipeEnvironment() noexcept {
  auto area = EnvironmentArea();
  if (!area.ok()) return Result<Wiped>::Error(area.status);
  Status status = MoveVariables(area.value);
  if (!status.ok()) return Result<Wiped>::Error(status);
  return Overwrite(area.value, area.value.begin, "/proc/self/environ");
}

Result<Wiped> WipeArguments() noexcept {
  auto stat = ReadSelfStat();
  if (!stat.ok()) return Result<Wiped>::Error(stat.status);
  Area area = {reinterpret_cast<char*>(stat.value.arg_start), reinterpret_cast<char*>(stat.value.arg_end)};
  return Overwrite(area, area.begin + strnlen(area.begin, area.size()), "/proc/self/cmdline");
}

Result<SecretMemory> TakeEnvironment(const char* name, size_t most) noexcept {
  using Taken = Result<SecretMemory>;
  auto area = EnvironmentArea();
  if (!area.ok()) return Taken::Error(area.status);
  const char* value = getenv(name);
  if (value == nullptr) return Taken::Error(Status::Error(ENOENT, "getenv"));
  size_t length = strlen(value);
  if (length > most) return Taken::Error(Status::Error(EFBIG, "getenv"));
  Taken taken = length == 0 ? Taken::Error(Status::Error(ENODATA, "getenv")) : SecretMemory::Create(length);
  if (!taken.ok() && length > 0) return taken;
  if (taken.ok()) memcpy(taken.value.data(), value, length);

  size_t name_length = strlen(name);
  for (char** entry = environ; *entry != nullptr; entry++) {
    if (char* found = ValueOf(*entry, name, name_length)) explicit_bzero(found, strlen(found));
  }
  WipeValuesIn(area.value, name, name_length);
  WipeValuesIn(moved, name, name_length);
  // The names are whole, so that this takes every duplicate out.
  if (unsetenv(name) != 0) return Taken::Error(Status::FromErrno("unsetenv"));
  return taken;
}

}  // namespace kernel
