#include "disk_usage.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unordered_set>

#include "folder.h"
#include "small_file.h"
#include "unique_fd.h"

namespace kernel {
namespace {

constexpr uint64_t kBlock = 512;  // of st_blocks, stat(3type)
constexpr size_t kMostMapsLines = 100'000;  // of all its processes together
constexpr size_t kMostPathBytes = 16 << 20;

class Look {
 public:
  Look(int folder, int64_t most_files, const DiskUsage& last) noexcept : folder_(folder), most_files_(most_files), last_(last) {
    (void)statx(folder, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID, &top_);
  }

  bool Over() const noexcept { return files_ > most_files_; }

  // Folders by their path from the top: one descriptor at a time, however many there are.
  void Tree() {
    std::vector<std::string> waiting{"."};
    size_t path_bytes = 0;
    while (!waiting.empty() && !Over()) {
      const std::string path = std::move(waiting.back());
      waiting.pop_back();
      path_bytes -= path == "." ? 0 : path.size();
      UniqueFd handle = OpenFolderIn(folder_, path.c_str(), O_PATH);
      if (!handle) {
        if (errno == ENAMETOOLONG) files_ = most_files_ + 1;  // too deep to be named: to be counted, too
        Refused();
        continue;
      }
      GiveOwner(S_IRUSR | S_IXUSR, handle.get());  // while the task works there: no more than it takes to look
      UniqueFd open_folder(openat(handle.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOATIME));
      if (!open_folder) open_folder.reset(openat(handle.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      if (!open_folder) {
        Refused();
        continue;
      }
      (void)ForEachEntry(open_folder.get(), [&](const char* name, uint8_t, uint64_t) {
        struct stat status;
        if (fstatat(open_folder.get(), name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
          Refused();
          return true;
        }
        if (S_ISDIR(status.st_mode)) {
          waiting.push_back(path == "." ? std::string(name) : path + "/" + name);
          path_bytes += waiting.back().size();
          if (path_bytes > kMostPathBytes) files_ = most_files_ + 1;
        }
        Add(status.st_ino, status.st_blocks * kBlock, status.st_nlink > 1 && !S_ISDIR(status.st_mode));
        return !Over();
      });
    }
  }

  // Descriptors and, if asked for, mappings of files without a name. Threads share both; a main thread that has ended
  // shows neither, so another one is asked.
  void Process(pid_t pid, const std::string* mapped_below) {
    const std::string process = "/proc/" + std::to_string(pid);
    refused_ = false;
    bool shown = Thread(process, mapped_below);
    UniqueFd threads(shown ? -1 : open((process + "/task").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (threads) (void)ForEachEntry(threads.get(), [&](const char* tid, uint8_t, uint64_t) { return !(shown = Thread(process + "/task/" + tid, mapped_below)); });
    // What nobody may look at is not known, and not nothing.
    if (!shown && refused_) unknown_ = true;
  }

  void Into(DiskUsage* usage, uint64_t grown) {
    usage->files = files_;
    usage->bytes = unknown_ ? std::max(bytes_, grown) : bytes_;
    usage->seen = std::move(sizes_);
  }

  uint64_t bytes() const noexcept { return bytes_; }

 private:
  // False when it has ended, and so has nothing to show.
  bool Thread(const std::string& thread, const std::string* mapped_below) {
    const bool open_files = OpenFiles(thread);
    return (mapped_below != nullptr && Mappings(thread, *mapped_below)) || open_files;
  }

  // O_TMPFILE's included.
  bool OpenFiles(const std::string& thread) {
    UniqueFd descriptors(open((thread + "/fd").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!descriptors) {
      if ((errno == EACCES || errno == EPERM) && !IsDead(thread)) refused_ = true;
      return false;
    }
    bool any = false;
    (void)ForEachEntry(descriptors.get(), [&](const char* name, uint8_t, uint64_t) {
      any = true;
      struct statx status;
      if (statx(descriptors.get(), name, AT_STATX_DONT_SYNC, STATX_BASIC_STATS | STATX_MNT_ID, &status) != 0) return true;
      if (S_ISSOCK(status.stx_mode) && CarriesDescriptors(thread, name)) unknown_ = true;
      if (S_ISREG(status.stx_mode) && status.stx_nlink == 0 && IsHere(status)) Add(status.stx_ino, status.stx_blocks * kBlock, true);
      return !Over();
    });
    return any;
  }

  // Nothing is open in a zombie, nor for long in what is about to be one, which has given up its memory first; and an ordinary
  // user is refused the folders of both: that is no secret to suspect. proc_pid_stat(5): the state and, the 9th field, the flags.
  static bool IsDead(const std::string& thread) noexcept {
    constexpr unsigned kExiting = 4;  // PF_EXITING in the kernel's sched.h
    char text[512];
    const char* rest = ReadSmallFile((thread + "/stat").c_str(), text) ? strrchr(text, ')') : nullptr;
    char state;
    unsigned flags;
    return rest == nullptr || sscanf(rest + 1, " %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2 || strchr("ZXx", state) != nullptr || (flags & kExiting) != 0;
  }

  // Mappings of files without a name, in kernel's words: "path (deleted)".
  bool Mappings(const std::string& thread, const std::string& top) {
    FILE* maps = fopen((thread + "/maps").c_str(), "re");
    if (maps == nullptr) {
      if ((errno == EACCES || errno == EPERM) && !IsDead(thread)) refused_ = true;
      return false;
    }
    bool any = false;
    constexpr char kDeleted[] = " (deleted)\n";
    char* line = nullptr;
    size_t room = 0;
    for (ssize_t length; (length = getline(&line, &room, maps)) > 0;) {
      any = true;
      if (maps_lines_++ > kMostMapsLines) {
        unknown_ = true;  // a task that has so many must not keep the others from being looked at
        break;
      }
      if (static_cast<size_t>(length) < sizeof(kDeleted) || strcmp(line + length - (sizeof(kDeleted) - 1), kDeleted) != 0) continue;
      const char* path = strchr(line, '/');
      unsigned long long inode = 0;
      if (path == nullptr || sscanf(line, "%*s %*s %*s %*s %llu", &inode) != 1 || counted_.count(inode) != 0) continue;
      auto known = last_.seen.find(inode);
      // In mounts of its own the task's paths are others.
      if (known == last_.seen.end() && strncmp(path, top.c_str(), top.size()) != 0) continue;
      if (known == last_.seen.end()) unknown_ = true;
      else Add(inode, known->second, true);
    }
    free(line);
    fclose(maps);
    return any;
  }

  // errno: what may not be looked at is not known, and not nothing. A task can take its folder's rights again as we look.
  void Refused() noexcept {
    if (errno == EACCES || errno == EPERM) unknown_ = true;
  }

  // On the folder's file system. By its mount where a file there may have another device number (overlayfs), by its
  // device where the task has mounts of its own.
  bool IsHere(const struct statx& file) const noexcept {
    return file.stx_mnt_id == top_.stx_mnt_id || (file.stx_dev_major == top_.stx_dev_major && file.stx_dev_minor == top_.stx_dev_minor);
  }

  // Each name is a file, and each file's bytes count once.
  void Add(uint64_t inode, uint64_t bytes, bool may_come_again) {
    files_++;
    if (may_come_again && !counted_.insert(inode).second) return;
    bytes_ += bytes;
    sizes_[inode] = bytes;
  }

  // A descriptor on its way through a socket is in no process's folder. unix(7).
  static bool CarriesDescriptors(const std::string& thread, const char* descriptor) {
    char text[1024];
    if (!ReadSmallFile((thread + "/fdinfo/" + descriptor).c_str(), text)) return false;
    const char* count = strstr(text, "scm_fds:");
    return count != nullptr && strtoul(count + 8, nullptr, 10) > 0;
  }

  const int folder_;
  const int64_t most_files_;
  const DiskUsage& last_;
  struct statx top_ {};
  uint64_t bytes_ = 0;
  int64_t files_ = 0;
  bool unknown_ = false;
  size_t maps_lines_ = 0;
  bool refused_ = false;  // of the process that is being looked at
  std::unordered_set<uint64_t> counted_;  // what has several names, or none
  std::unordered_map<uint64_t, uint64_t> sizes_;
};

}  // namespace

uint64_t UsedBytesOf(int folder) noexcept {
  struct statvfs status;
  if (fstatvfs(folder, &status) != 0) return 0;
  return static_cast<uint64_t>(status.f_blocks - status.f_bfree) * status.f_frsize;
}

void MeasureDisk(int folder, const std::string& path, const std::vector<pid_t>& processes, int64_t most_files, DiskUsage* usage) {
  const uint64_t used = UsedBytesOf(folder);
  usage->used_last = used;
  // The least that others ever had: what they free meanwhile is not room to hide in.
  usage->used_before = std::min(usage->used_before, used);
  const uint64_t grown = used - usage->used_before;
  Look look(folder, most_files, *usage);
  look.Tree();
  // Hidden bytes are on the disk all the same: as long as it has not filled, nobody hides any in mappings, which cost more to read.
  const std::string below = path + "/";
  const std::string* const mapped_below = grown > look.bytes() ? &below : nullptr;
  for (pid_t pid : processes) {
    if (look.Over()) break;
    look.Process(pid, mapped_below);
  }
  look.Into(usage, grown);
}

}  // namespace kernel
