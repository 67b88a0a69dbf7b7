// sweeper TAG MASK FOLDER: outlives a supervisor for as long as it takes to end what its tasks had
// started, in cgroups below FOLDER where it is not empty, and to remove their scratch folders.
// Descriptor 0 is a socket whose other end the supervisor alone holds: it reports end of file when
// the supervisor has ended, however it ended. Each message on it is the name of a folder of scratch
// folders, with its descriptor.

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "../kernel/cgroup.h"
#include "../kernel/descriptors.h"
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
  kernel::UniqueFd folder;
  auto got = kernel::ReceiveDescriptor(STDIN_FILENO, name, sizeof(name), &folder);
  if (!got.ok() || got.value == 0) return false;
  if (folder) roots->push_back({std::string(name, got.value), std::move(folder)});
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
