// sweeper TAG MASK FOLDER: outlives a supervisor for as long as it takes to end what its tasks had
// started, in cgroups below FOLDER where it is not empty. Descriptor 0 is a pipe whose other end the supervisor alone holds: it reports end
// of file when the supervisor has ended, however it ended.

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "../kernel/cgroup.h"
#include "../kernel/dumpable.h"
#include "../kernel/leftovers.h"

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const kernel::TagFamily family{strtoull(argv[1], nullptr, 16), strtoull(argv[2], nullptr, 16)};
  if (!kernel::DisableDumpable().ok()) return 1;
  // A terminal or a service manager signals the supervisor's whole group: ours is the last word.
  for (int ignored : {SIGHUP, SIGINT, SIGQUIT, SIGTERM}) signal(ignored, SIG_IGN);

  char byte;
  ssize_t got;
  do {
    got = read(STDIN_FILENO, &byte, 1);
  } while (got > 0 || (got < 0 && errno == EINTR));
  const int cgroups = argv[3][0] == '\0' ? 0 : kernel::EndCgroups(argv[3], family, 60'000);
  return kernel::EndTagged(family, 60'000) == 0 && cgroups == 0 ? 0 : 1;
}
