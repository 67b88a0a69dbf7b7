#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <sys/types.h>

#include <cstdint>
#include <list>
#include <string>
#include <vector>

#include "notify.h"
#include "result.h"
#include "unique_fd.h"

namespace kernel {

// One address and port. IPv4 is kept in its IPv6-mapped form, so that there is one form to
// compare: a task that asks for ::ffff:1.2.3.4 asks for 1.2.3.4.
struct Endpoint {
  in6_addr address;
  uint16_t port;

  bool operator==(const Endpoint& other) const noexcept;
};

// What a policy's names came to at the launch, and all that a task may reach.
struct NetworkGrants {
  std::vector<Endpoint> connect;
  std::vector<Endpoint> listen;  // port 0: one that the kernel picks
};

// From text: what inet_pton(3) takes, of either family. EINVAL.
Result<Endpoint> EndpointOf(const char* address, uint16_t port) noexcept;
std::string TextOf(const Endpoint& endpoint);

// The sockets of one task. Each is made here, in the supervisor's network, and a duplicate
// is kept until it is connected or listens: so connect, bind and listen are ours to make,
// on our own descriptor and with our own copy of the address, and nothing that the task
// does to its memory or descriptors meanwhile changes what is reached. The task itself is
// never let through to these calls, and its Landlock domain refuses them besides.
// Scope: one thread.
class Network {
 public:
  Network(const NetworkGrants& grants, const Listener& listener) noexcept : grants_(grants), listener_(listener) {}
  ~Network();

  // Each answers the call, now or when `Polled` says that it can be. 0, or the errno it was
  // refused with by the policy; `target` is then what was asked for.
  int Socket(const Notification& call);
  int Connect(const Notification& call, std::string* target);
  int Bind(const Notification& call, std::string* target);
  int Listen(const Notification& call);

  // Sockets whose connect is under way; `Polled` is told of each that has news.
  void AddPolled(std::vector<pollfd>* polled) const;
  void Polled(int fd);

 private:
  struct Held {
    UniqueFd fd;
    uint64_t inode = 0;
    int family = 0;
    bool bound = false;
    bool connecting = false;
    uint64_t waiting = 0;  // the call that stands still until it is connected; 0: none does
    Endpoint target{};
  };
  using Place = std::list<Held>::iterator;

  Result<Place> Find(const Notification& call);
  bool MakeRoom();
  void Drop(Place place);

  const NetworkGrants& grants_;
  const Listener& listener_;
  std::list<Held> held_;  // the oldest first
};

}  // namespace kernel
