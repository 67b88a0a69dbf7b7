// Asks for a process whose memory lies where it always lies and whose data can be run,
// as it helps with the next exploit. personality(2)
#include <sys/personality.h>

#include "attack.h"

static void Personality(pid_t target, char** arguments) {
  (void)target, (void)arguments;
  if (personality(ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC) < 0) return Refused("personality");
  StayFor(500);
}

ATTACK("personality", Personality)
