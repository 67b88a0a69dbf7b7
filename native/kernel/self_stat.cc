#include "self_stat.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "unique_fd.h"

namespace kernel {

Result<SelfStat> ReadSelfStat() noexcept {
  UniqueFd file(open("/proc/self/stat", O_RDONLY | O_CLOEXEC));
  if (!file) return Result<SelfStat>::Error(Status::FromErrno("open"));
  char text[2048];  // 52 numbers and a name of 64 bytes at most; made in one piece by the kernel
  ssize_t length = read(file.get(), text, sizeof text - 1);
  if (length < 0) return Result<SelfStat>::Error(Status::FromErrno("read"));
  text[length] = '\0';

  // The second field is the name in parentheses and may itself hold any of " )(".
  const char* cursor = strrchr(text, ')');
  SelfStat stat;
  int field = 2;
  while (cursor != nullptr && (cursor = strchr(cursor, ' ')) != nullptr) {
    cursor++;
    field++;
    uint64_t* out = field == 20   ? &stat.threads
                    : field == 48 ? &stat.arg_start
                    : field == 49 ? &stat.arg_end
                    : field == 50 ? &stat.env_start
                    : field == 51 ? &stat.env_end
                                  : nullptr;
    if (out != nullptr) *out = strtoull(cursor, nullptr, 10);
    if (field == 51) return Result<SelfStat>::Of(stat);
  }
  return Result<SelfStat>::Error(Status::Error(EBADMSG, "read"));
}

}  // namespace kernel
