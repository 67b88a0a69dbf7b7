// Makes a device of its own in a folder that it may write: here /dev/mem's number, under
// another name. mknod(2)
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "attack.h"

static void DeviceNode(pid_t target, char** arguments) {
  (void)target;
  if (mknod(arguments[0], S_IFCHR | 0600, makedev(1, 1)) != 0) Refused("mknod");
}

ATTACK("device-node", DeviceNode)
