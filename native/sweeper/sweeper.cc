// sweeper TAG MASK FOLDER: outlives a supervisor for as long as it takes to end what its tasks had
// started, in cgroups below FOLDER where it is not empty, and to remove their scratch folders.
// Descriptor 0 is a socket whose other end the supervisor alone holds: it reports end of file when
// the supervisor has ended, however it ended. Each message on it is the name of a folder of scratch
// folders, with its descriptor.

#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "../kernel/cgroup.h"
#include "../kernel/dumpable.h"
#include "../kernel/leftovers.h"
#include "../kernel/scratch.h"
#include "../kernel/unique_fd.h"

namespace {

struct Root {
  std::string name;
  kernel::UniqueFd folder;
};

// False at the end of file.
bool Receive(std::vector<Root>* roots) {
  char name[256];
  iovec data{name, sizeof(name)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t got = recvmsg(STDIN_FILENO, &message, MSG_CMSG_CLOEXEC);
  if (got <= 0) return got < 0 && errno == EINTR;
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return true;
  int fd;
  memcpy(&fd, CMSG_DATA(header), sizeof(fd));
  roots->push_back({std::string(name, static_cast<size_t>(got)), kernel::UniqueFd(fd)});
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const kernel::TagFamily family{strtoull(argv[1], nullptr, 16), strtoull(argv[2], nullptr, 16)};
  if (!kernel::DisableDumpable().ok()) return 1;
  // A terminal or a service manager signals the supervisor's whole group: ours is the last word.
  for (int ignored : {SIGHUP, SIGINT, SIGQUIT, SIGTERM}) signal(ignored, SIG_IGN);

  std::vector<Root> roots;
  while (Receive(&roots)) {
  }
  const int cgroups = argv[3][0] == '\0' ? 0 : kernel::EndCgroups(argv[3], family, 60'000);
  bool clean = kernel::EndTagged(family, 60'000) == 0 && cgroups == 0;
  for (const Root& root : roots) clean = kernel::RemoveScratchRoot(root.folder.get(), root.name.c_str(), 600'000) && clean;
  return clean ? 0 : 1;
}
