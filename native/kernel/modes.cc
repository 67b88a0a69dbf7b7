#include "modes.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "uapi.h"

namespace kernel {
namespace {

constexpr int kFchmodat2 = 452;
constexpr int8_t kNone = -1;

enum class Change { kMode, kOwner, kSeconds, kMicroseconds, kNanoseconds };

// Where a call has what; kNone: it has no such argument.
struct Shape {
  int nr;
  Change change;
  int8_t folder;  // a descriptor; of one without a path it is the file
  int8_t path;
  int8_t value;
  int8_t flags;
  bool follows;
};

constexpr Shape kShapes[] = {
#ifdef __NR_chmod
    {__NR_chmod, Change::kMode, kNone, 0, 1, kNone, true},
    {__NR_chown, Change::kOwner, kNone, 0, 1, kNone, true},
    {__NR_lchown, Change::kOwner, kNone, 0, 1, kNone, false},
    {__NR_utime, Change::kSeconds, kNone, 0, 1, kNone, true},
    {__NR_utimes, Change::kMicroseconds, kNone, 0, 1, kNone, true},
    {__NR_futimesat, Change::kMicroseconds, 0, 1, 2, kNone, true},
#endif
    {__NR_fchmod, Change::kMode, 0, kNone, 1, kNone, true},
    {__NR_fchmodat, Change::kMode, 0, 1, 2, kNone, true},
    {kFchmodat2, Change::kMode, 0, 1, 2, 3, true},
    {__NR_fchown, Change::kOwner, 0, kNone, 1, kNone, true},
    {__NR_fchownat, Change::kOwner, 0, 1, 2, 4, true},
    {__NR_utimensat, Change::kNanoseconds, 0, 1, 2, 3, true},
};

bool IsTime(const Shape& shape) noexcept { return shape.change != Change::kMode && shape.change != Change::kOwner; }

const Shape* ShapeOf(int nr) noexcept {
  for (const Shape& shape : kShapes) {
    if (shape.nr == nr) return &shape;
  }
  return nullptr;
}

UniqueFd OpenBeneath(int folder, const char* path, bool follows, bool links) noexcept {
  constexpr uint64_t kNoMagicLinks = 0x02, kNoSymlinks = 0x04, kBeneath = 0x08;  // linux/openat2.h
  struct {
    uint64_t flags, mode, resolve;
  } how{static_cast<uint64_t>(O_PATH | O_CLOEXEC | (follows ? 0 : O_NOFOLLOW)), 0, kBeneath | kNoMagicLinks | (links ? 0 : kNoSymlinks)};
  return UniqueFd(static_cast<int>(syscall(__NR_openat2, folder, path, &how, sizeof(how))));
}

// What /proc says a link of its leads to; empty when it leads to no path.
std::string Readlink(const char* link) {
  errno = 0;
  char name[PATH_MAX];
  const ssize_t length = readlink(link, name, sizeof(name));
  if (length <= 0 || length == static_cast<ssize_t>(sizeof(name)) || name[0] != '/') return "";
  return std::string(name, static_cast<size_t>(length));
}

// Where /proc has a descriptor of the caller's, or its folder.
void CallersLink(const Notification& call, int descriptor, char* link, size_t size) noexcept {
  if (descriptor == AT_FDCWD) snprintf(link, size, "/proc/%d/cwd", static_cast<int>(call.pid));
  else snprintf(link, size, "/proc/%d/fd/%d", static_cast<int>(call.pid), descriptor);
}

// The path that a call names, from the root. Text of the task's and no more than a hint: it
// is looked up from the task's own places alone.
Result<std::string> Named(const Notification& call, const Shape& shape, int flags, int* descriptor) {
  auto refused = [](int err) { return Result<std::string>::Error(Status::Error(err, "readlink")); };
  char path[PATH_MAX] = "";
  int folder = shape.folder == kNone ? AT_FDCWD : static_cast<int>(call.data.args[shape.folder]);
  // futimens(3), and so touch: without a path it is what the descriptor is open on, to read is enough.
  const bool itself = shape.path == kNone || (IsTime(shape) && call.data.args[shape.path] == 0 && folder != AT_FDCWD);
  if (!itself) {
    auto got = ReadMemory(static_cast<pid_t>(call.pid), call.data.args[shape.path], path, sizeof(path));
    if (!got.ok()) return refused(EFAULT);
    if (memchr(path, '\0', got.value) == nullptr) return refused(got.value == sizeof(path) ? ENAMETOOLONG : EFAULT);
    if (path[0] == '\0' && (flags & AT_EMPTY_PATH) == 0) return refused(ENOENT);
  }
  // How libc makes fchmodat(2) follow no link, before Linux 6.6: a descriptor by its name.
  int length = 0;
  if (sscanf(path, "/proc/self/fd/%9d%n", &folder, &length) == 1 && path[length] == '\0' && folder >= 0) path[0] = '\0';
  if (path[0] == '/') return Result<std::string>::Of(path);
  char link[64];
  CallersLink(call, folder, link, sizeof(link));
  std::string base = Readlink(link);
  if (base.empty()) return refused(errno == ENOENT ? EBADF : EPERM);
  if (path[0] != '\0') return Result<std::string>::Of(base + "/" + path);
  *descriptor = folder;
  return Result<std::string>::Of(std::move(base));
}

// What a path leads to, beneath one of the places: links included, as long as they stay there.
Result<UniqueFd> Find(const OwnPlaces& places, const std::string& path, bool follows, bool links) {
  for (const UniqueFd& own : places.opened) {
    char link[40];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", own.get());
    const std::string place = Readlink(link);
    if (place.empty() || path.compare(0, place.size(), place) != 0) continue;
    size_t rest = place.size();
    if (rest != path.size() && path[rest] != '/' && place != "/") continue;
    while (rest < path.size() && path[rest] == '/') rest++;
    UniqueFd fd = rest == path.size() ? UniqueFd(fcntl(own.get(), F_DUPFD_CLOEXEC, 0))
                                      : OpenBeneath(own.get(), path.c_str() + rest, follows, links);
    if (fd) return {Status::Ok(), std::move(fd)};
    // EXDEV: it leads out, by a link or by dots.
    return Result<UniqueFd>::Error(Status::Error(errno == EXDEV || errno == EACCES ? EPERM : errno, "openat2"));
  }
  return Result<UniqueFd>::Error(Status::Error(EPERM, "openat2"));
}

// Whether a descriptor of the caller's is of this very file, and not of another one that had its name.
bool IsDescriptor(const Notification& call, int descriptor, const struct stat& file) noexcept {
  char link[64];
  CallersLink(call, descriptor, link, sizeof(link));
  struct stat theirs;
  return stat(link, &theirs) == 0 && theirs.st_dev == file.st_dev && theirs.st_ino == file.st_ino;
}

int SetMode(int fd, const struct stat& file, mode_t mode) noexcept {
  if (S_ISLNK(file.st_mode)) return ENOTSUP;
  char link[40];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  // No set-uid, no set-gid: it is the supervisor's user whose file this is.
  return chmod(link, mode & (S_ISVTX | 0777)) == 0 ? 0 : errno;
}

bool ReadTimes(const Notification& call, const Shape& shape, timespec (&times)[2]) noexcept {
  const uint64_t address = call.data.args[shape.value];
  times[0] = times[1] = {0, UTIME_NOW};
  if (address == 0) return true;
  int64_t read[4];
  const size_t wanted = shape.change == Change::kSeconds ? sizeof(int64_t) * 2 : sizeof(read);
  auto got = ReadMemory(static_cast<pid_t>(call.pid), address, read, wanted);
  if (!got.ok() || got.value != wanted) return false;
  for (int i = 0; i < 2; i++) {
    if (shape.change == Change::kSeconds) times[i] = {static_cast<time_t>(read[i]), 0};
    else times[i] = {static_cast<time_t>(read[2 * i]), static_cast<long>(shape.change == Change::kMicroseconds ? read[2 * i + 1] * 1000 : read[2 * i + 1])};
  }
  return true;
}

}  // namespace

bool FileModes::Is(int nr) noexcept { return ShapeOf(nr) != nullptr; }

int FileModes::Answer(const Notification& call) {
  auto answer = [&](int err) {
    listener_.Answer(call.id, -err);
    return err;
  };
  const Shape& shape = *ShapeOf(call.data.nr);
  const int flags = shape.flags == kNone ? 0 : static_cast<int>(call.data.args[shape.flags]);
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) return answer(EINVAL);
  constexpr int kByPath = -1;
  int descriptor = kByPath;  // else: the call is about what this one is open on
  auto named = Named(call, shape, flags, &descriptor);
  timespec times[2];
  const bool readable = !IsTime(shape) || ReadTimes(call, shape, times);
  // Behind what was read of the caller: it may have ended, and its number be another's.
  if (!listener_.Waits(call)) return answer(ESRCH);
  if (!named.ok()) return answer(named.status.err);
  if (!readable) return answer(EFAULT);

  const bool follows = shape.follows && (flags & AT_SYMLINK_NOFOLLOW) == 0 && descriptor == kByPath;
  auto own = Find(places_, named.value, follows, descriptor == kByPath);
  if (!own.ok()) return answer(own.status.err);
  struct stat file;
  if (fstat(own.value.get(), &file) != 0 || file.st_uid != places_.uid) return answer(EPERM);
  if (descriptor != kByPath && !IsDescriptor(call, descriptor, file)) return answer(EPERM);
  if (!S_ISREG(file.st_mode) && !S_ISDIR(file.st_mode) && !S_ISFIFO(file.st_mode) && !S_ISLNK(file.st_mode)) return answer(EPERM);
  switch (shape.change) {
    case Change::kMode: return answer(SetMode(own.value.get(), file, static_cast<mode_t>(call.data.args[shape.value])));
    // As if for a program that believes to be root: it goes on, and the file stays its user's.
    case Change::kOwner: return answer(0);
    default: return answer(utimensat(own.value.get(), "", times, AT_EMPTY_PATH) == 0 ? 0 : errno);
  }
}

}  // namespace kernel
