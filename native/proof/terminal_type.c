// Types into the terminal that it shares with its supervisor: whoever reads there next
// takes it for the user's word. ioctl_tty(2): TIOCSTI
#include <fcntl.h>
#include <sys/ioctl.h>

#include "attack.h"

static void TerminalType(pid_t target, char** arguments) {
  (void)target;
  const int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC);
  if (terminal < 0) Refused("open /dev/tty");
  for (const char* at = arguments[0]; *at != '\0'; at++) {
    if (ioctl(terminal < 0 ? 0 : terminal, TIOCSTI, at) != 0) return Refused("ioctl(TIOCSTI)");
  }
  StayFor(300);
}

ATTACK("terminal-type", TerminalType)
