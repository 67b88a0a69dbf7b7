#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mutex>

#include "folder.h"

namespace kernel {
namespace {

std::string RandomName(const char* prefix) {
  unsigned char random[12];
  while (getrandom(random, sizeof(random), 0) != static_cast<ssize_t>(sizeof(random))) {
  }
  std::string name = prefix;
  char digits[3];
  for (unsigned char byte : random) {
    snprintf(digits, sizeof(digits), "%02x", byte);
    name += digits;
  }
  return name;
}

// A folder in `parent` that nobody else has made or can enter.
Result<UniqueFd> MakeFolder(int parent, const char* name) noexcept {
  if (mkdirat(parent, name, 0700) != 0) return {Status::FromErrno("mkdir"), UniqueFd()};
  UniqueFd folder = OpenFolderIn(parent, name, O_RDONLY);
  if (!folder) {
    Status failed = Status::FromErrno("open");
    (void)unlinkat(parent, name, AT_REMOVEDIR);
    return {failed, UniqueFd()};
  }
  struct stat status;
  if (fstat(folder.get(), &status) != 0) return {Status::FromErrno("fstat"), UniqueFd()};
  // /tmp is anybody's: another process could have put one of its own there meanwhile, were it not sticky.
  if (status.st_uid != geteuid()) return {Status::Error(EPERM, "fstat"), UniqueFd()};
  if ((status.st_mode & 07777) != 0700 && fchmod(folder.get(), 0700) != 0) return {Status::FromErrno("fchmod"), UniqueFd()};
  return {Status::Ok(), std::move(folder)};
}

std::mutex root_mutex;
std::shared_ptr<const ScratchRoot> current_root;

bool StillThere(const ScratchRoot& root) noexcept {
  struct stat status;
  return fstat(root.folder(), &status) == 0 && status.st_nlink > 0;
}

}  // namespace

Result<std::shared_ptr<const ScratchRoot>> ScratchRoot::Get(const std::string& temporary) noexcept {
  using Got = Result<std::shared_ptr<const ScratchRoot>>;
  std::lock_guard<std::mutex> lock(root_mutex);
  if (current_root && StillThere(*current_root)) return Got::Of(current_root);
  auto root = std::make_shared<ScratchRoot>();
  root->parent_.reset(open(temporary.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root->parent_) return Got::Error(Status::FromErrno("open"));
  root->name_ = RandomName("sallyport-");
  root->path_ = (temporary == "/" ? "" : temporary) + "/" + root->name_;
  auto made = MakeFolder(root->parent_.get(), root->name_.c_str());
  if (!made.ok()) return Got::Error(made.status);
  root->folder_ = std::move(made.value);
  // What cleaners of temporary folders, tmpfiles.d(5), understand as in use.
  (void)flock(root->folder_.get(), LOCK_SH | LOCK_NB);
  current_root = root;
  return Got::Of(current_root);
}

std::shared_ptr<const ScratchRoot> ScratchRoot::Current() noexcept {
  std::lock_guard<std::mutex> lock(root_mutex);
  return current_root;
}

void ScratchRoot::RemoveIfEmpty() const noexcept { (void)unlinkat(parent_.get(), name_.c_str(), AT_REMOVEDIR); }

Result<std::shared_ptr<Scratch>> Scratch::Make(std::shared_ptr<const ScratchRoot> root, const Identity* owner) noexcept {
  auto scratch = std::make_shared<Scratch>();
  scratch->name_ = RandomName("");
  scratch->path_ = root->path() + "/" + scratch->name_;
  auto made = MakeFolder(root->folder(), scratch->name_.c_str());
  if (!made.ok()) return Result<std::shared_ptr<Scratch>>::Error(made.status);
  scratch->folder_ = std::move(made.value);
  scratch->root_ = std::move(root);
  if (owner != nullptr) {
    // It must get there, and need not see what else lies there.
    if (fchmod(scratch->root_->folder(), 0711) != 0) return Result<std::shared_ptr<Scratch>>::Error(Status::FromErrno("fchmod"));
    if (fchown(scratch->folder(), owner->uid, owner->gid) != 0) return Result<std::shared_ptr<Scratch>>::Error(Status::FromErrno("fchown"));
  }
  return Result<std::shared_ptr<Scratch>>::Of(std::move(scratch));
}

Scratch::~Scratch() { (void)RemoveIfEmpty(); }

bool Scratch::RemoveIfEmpty() noexcept {
  if (!removed_ && root_) removed_ = unlinkat(root_->folder(), name_.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT;
  return removed_;
}

Emptied Scratch::Remove(int timeout_ms) noexcept {
  Emptied emptied = EmptyFolder(folder_.get(), timeout_ms);
  if (emptied.empty) emptied.empty = RemoveIfEmpty();
  return emptied;
}

bool RemoveScratchRoot(int folder, const char* name, int timeout_ms) noexcept {
  if (!EmptyFolder(folder, timeout_ms).empty) return false;
  // The name is removed only if it is an empty folder, whichever it is.
  return unlinkat(folder, (std::string("../") + name).c_str(), AT_REMOVEDIR) == 0;
}

}  // namespace kernel
