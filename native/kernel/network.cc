#include "network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace kernel {
namespace {

// A program makes a socket and connects it at once; nobody has this many in between.
constexpr size_t kMostHeld = 128;
// And each task may have this many, however many the others keep.
constexpr size_t kAlwaysHeld = 4;

// Of all tasks together, beyond that: a quarter of our descriptors, the others are the supervisor's.
std::atomic<size_t> held_by_all{0};

size_t MostHeldByAll() noexcept {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return 4096;
  return static_cast<size_t>(limit.rlim_cur) / 4;
}

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;

  const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
};

// As the socket's family takes it. EAFNOSUPPORT: an IPv4 socket reaches no IPv6 address.
Result<Address> AddressOf(const Endpoint& endpoint, int family) noexcept {
  Address made;
  if (family == AF_INET6) {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&made.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(endpoint.port);
    v6->sin6_addr = endpoint.address;
    made.length = sizeof(*v6);
    return Result<Address>::Of(made);
  }
  if (!IN6_IS_ADDR_V4MAPPED(&endpoint.address)) return Result<Address>::Error(Status::Error(EAFNOSUPPORT, "connect"));
  auto* v4 = reinterpret_cast<sockaddr_in*>(&made.storage);
  v4->sin_family = AF_INET;
  v4->sin_port = htons(endpoint.port);
  memcpy(&v4->sin_addr, endpoint.address.s6_addr + 12, sizeof(v4->sin_addr));
  made.length = sizeof(*v4);
  return Result<Address>::Of(made);
}

Endpoint Mapped(const in_addr& v4, uint16_t port) noexcept {
  Endpoint made{};
  made.address.s6_addr[10] = made.address.s6_addr[11] = 0xff;
  memcpy(made.address.s6_addr + 12, &v4, sizeof(v4));
  made.port = port;
  return made;
}

bool IsWildcard(const Endpoint& endpoint) noexcept {
  const Endpoint v4 = Mapped({INADDR_ANY}, 0);
  return IN6_IS_ADDR_UNSPECIFIED(&endpoint.address) || memcmp(&endpoint.address, &v4.address, sizeof(v4.address)) == 0;
}

// The address that a call names, read once. What the kernel would refuse in it is refused
// with the kernel's errno. AF_UNSPEC, which would disconnect, is none of the two families.
Result<Endpoint> ReadEndpoint(const Notification& call, const Listener& listener) noexcept {
  auto refused = [](int err) { return Result<Endpoint>::Error(Status::Error(err, "connect")); };
  sockaddr_in6 read{};
  const int length = static_cast<int>(call.data.args[2]);
  if (length < static_cast<int>(sizeof(sockaddr_in))) return refused(EINVAL);
  const size_t wanted = std::min(static_cast<size_t>(length), sizeof(read));
  auto got = ReadMemory(static_cast<pid_t>(call.pid), call.data.args[1], &read, wanted);
  if (!got.ok()) return Result<Endpoint>::Error(got.status);
  if (got.value != wanted) return refused(EFAULT);
  if (!listener.Waits(call)) return refused(ESRCH);
  if (read.sin6_family == AF_INET) {
    sockaddr_in v4;
    memcpy(&v4, &read, sizeof(v4));
    return Result<Endpoint>::Of(Mapped(v4.sin_addr, ntohs(v4.sin_port)));
  }
  if (read.sin6_family != AF_INET6) return refused(EACCES);
  constexpr size_t kLeast = 24;  // without the scope, as the kernel takes it (RFC 2133)
  if (wanted < kLeast) return refused(EINVAL);
  return Result<Endpoint>::Of({read.sin6_addr, ntohs(read.sin6_port)});
}

void SetBlocking(int fd, bool blocking) noexcept {
  const int flags = fcntl(fd, F_GETFL);
  fcntl(fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

bool IsConnected(int fd) noexcept {
  sockaddr_storage peer;
  socklen_t length = sizeof(peer);
  return getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) == 0;
}

}  // namespace

bool Endpoint::operator==(const Endpoint& other) const noexcept {
  return port == other.port && memcmp(&address, &other.address, sizeof(address)) == 0;
}

Result<Endpoint> EndpointOf(const char* address, uint16_t port) noexcept {
  in_addr v4;
  if (inet_pton(AF_INET, address, &v4) == 1) return Result<Endpoint>::Of(Mapped(v4, port));
  Endpoint made{};
  made.port = port;
  if (inet_pton(AF_INET6, address, &made.address) == 1) return Result<Endpoint>::Of(made);
  return Result<Endpoint>::Error(Status::Error(EINVAL, "inet_pton"));
}

std::string TextOf(const Endpoint& endpoint) {
  char text[INET6_ADDRSTRLEN] = "";
  if (IN6_IS_ADDR_V4MAPPED(&endpoint.address)) {
    inet_ntop(AF_INET, endpoint.address.s6_addr + 12, text, sizeof(text));
    return std::string(text) + ":" + std::to_string(endpoint.port);
  }
  inet_ntop(AF_INET6, &endpoint.address, text, sizeof(text));
  return "[" + std::string(text) + "]:" + std::to_string(endpoint.port);
}

Network::~Network() {
  while (!held_.empty()) Drop(held_.begin());
}

void Network::Drop(Place place) {
  held_.erase(place);
  held_by_all--;
}

// Makes room for one more. A socket that its task has long closed looks from here like one
// that it will use yet: so the oldest goes that nobody waits for. Connecting it would be
// refused then, as would be a descriptor that was never ours.
bool Network::MakeRoom() {
  if (held_.size() < kAlwaysHeld || (held_.size() < kMostHeld && held_by_all < MostHeldByAll())) return true;
  auto oldest = std::find_if(held_.begin(), held_.end(), [](const Held& held) { return held.waiting == 0; });
  if (oldest == held_.end()) return false;
  Drop(oldest);
  return true;
}

// Our duplicate of what the caller's descriptor is at this moment. That it becomes another
// one a moment later changes nothing: the call is made on ours.
Result<Network::Place> Network::Find(const Notification& call) {
  auto refused = [](int err) { return Result<Place>::Error(Status::Error(err, "connect")); };
  char path[64], target[64];
  snprintf(path, sizeof(path), "/proc/%u/fd/%d", call.pid, static_cast<int>(call.data.args[0]));
  const ssize_t length = readlink(path, target, sizeof(target) - 1);
  if (length < 0) return refused(errno == ENOENT ? EBADF : EACCES);
  target[length] = '\0';
  constexpr char kPrefix[] = "socket:[";
  if (strncmp(target, kPrefix, sizeof(kPrefix) - 1) != 0) return refused(ENOTSOCK);
  const uint64_t inode = strtoull(target + sizeof(kPrefix) - 1, nullptr, 10);
  auto found = std::find_if(held_.begin(), held_.end(), [inode](const Held& held) { return held.inode == inode; });
  // Not one of ours: of a pair that it made itself, accepted, or connected by us before.
  if (found == held_.end()) return refused(EISCONN);
  return Result<Place>::Of(found);
}

int Network::Socket(const Notification& call) {
  const int family = static_cast<int>(call.data.args[0]);
  const int type = static_cast<int>(call.data.args[1]);
  if (!MakeRoom()) return listener_.Answer(call.id, -EMFILE), 0;
  Held made;
  made.family = family;
  made.fd.reset(socket(family, type | SOCK_CLOEXEC, IPPROTO_TCP));
  struct stat st;
  if (!made.fd || fstat(made.fd.get(), &st) != 0) return listener_.Answer(call.id, -errno), 0;
  made.inode = st.st_ino;
  Status added = listener_.AnswerWithDescriptor(call.id, made.fd.get(), (type & SOCK_CLOEXEC) != 0);
  if (!added.ok()) return listener_.Answer(call.id, -added.err), 0;
  held_.push_back(std::move(made));
  held_by_all++;
  return 0;
}

int Network::Connect(const Notification& call, std::string* target) {
  auto wanted = ReadEndpoint(call, listener_);
  if (!wanted.ok()) return listener_.Answer(call.id, -wanted.status.err), wanted.status.err == EACCES ? EACCES : 0;
  *target = TextOf(wanted.value);
  if (std::find(grants_.connect.begin(), grants_.connect.end(), wanted.value) == grants_.connect.end())
    return listener_.Answer(call.id, -EACCES), EACCES;
  auto found = Find(call);
  if (!found.ok()) return listener_.Answer(call.id, -found.status.err), 0;
  Held& held = *found.value;
  if (held.bound || held.waiting != 0) return listener_.Answer(call.id, held.bound ? -EACCES : -EALREADY), 0;

  auto address = AddressOf(wanted.value, held.family);
  if (!address.ok()) return listener_.Answer(call.id, -address.status.err), 0;
  const int fd = held.fd.get();
  const bool blocking = (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0;
  if (blocking) SetBlocking(fd, false);  // never this thread; `Polled` makes it blocking again
  const int err = connect(fd, address.value.get(), address.value.length) == 0 ? 0 : errno;
  if (err == EINPROGRESS || (err == EALREADY && blocking)) {
    held.connecting = true;
    held.target = wanted.value;
    if (blocking) {
      held.waiting = call.id;
    } else {
      listener_.Answer(call.id, -EINPROGRESS);
    }
    return 0;
  }
  if (blocking) SetBlocking(fd, true);
  // From here on it is the task's alone: its peer sees the end when the task closes it.
  if (err == 0 || err == EISCONN) Drop(found.value);
  listener_.Answer(call.id, -err);
  return 0;
}

void Network::AddPolled(std::vector<pollfd>* polled) const {
  for (const Held& held : held_) {
    if (held.connecting) polled->push_back({held.fd.get(), POLLOUT, 0});
  }
}

void Network::Polled(int fd) {
  auto place = std::find_if(held_.begin(), held_.end(), [fd](const Held& held) { return held.fd.get() == fd; });
  if (place == held_.end() || !place->connecting) return;
  if (place->waiting == 0) {
    // The task looks for the error itself, which reading it here would take away.
    place->connecting = false;
    if (IsConnected(fd)) Drop(place);
    return;
  }
  // The second call says how the first one went, and readies the socket for another try.
  const auto address = AddressOf(place->target, place->family);
  const int err = connect(fd, address.value.get(), address.value.length) == 0 ? 0 : errno;
  if (err == EALREADY || err == EINPROGRESS) return;
  SetBlocking(fd, true);
  const uint64_t waiting = place->waiting;
  place->connecting = false;
  place->waiting = 0;
  if (err == 0 || err == EISCONN) Drop(place);
  listener_.Answer(waiting, err == EISCONN ? 0 : -err);
}

int Network::Bind(const Notification& call, std::string* target) {
  auto wanted = ReadEndpoint(call, listener_);
  if (!wanted.ok()) return listener_.Answer(call.id, -wanted.status.err), wanted.status.err == EACCES ? EACCES : 0;
  *target = TextOf(wanted.value);
  auto found = Find(call);
  if (!found.ok()) return listener_.Answer(call.id, found.status.err == EISCONN ? -EINVAL : -found.status.err), 0;
  // "Any address" of a granted port means the granted one: less than was asked for, and
  // what most servers ask for when they are told a port alone.
  const bool any = IsWildcard(wanted.value);
  for (const Endpoint& grant : grants_.listen) {
    if (grant.port != wanted.value.port || !(any || grant == wanted.value)) continue;
    auto address = AddressOf(grant, found.value->family);
    if (!address.ok()) continue;
    const int err = bind(found.value->fd.get(), address.value.get(), address.value.length) == 0 ? 0 : errno;
    if (err == 0) found.value->bound = true;
    return listener_.Answer(call.id, -err), 0;
  }
  return listener_.Answer(call.id, -EACCES), EACCES;
}

int Network::Listen(const Notification& call) {
  auto found = Find(call);
  // Without a bind of ours the kernel would pick a port, of every address.
  if (!found.ok() || !found.value->bound) return listener_.Answer(call.id, -EACCES), EACCES;
  const int err = listen(found.value->fd.get(), static_cast<int>(call.data.args[1])) == 0 ? 0 : errno;
  if (err == 0) Drop(found.value);
  listener_.Answer(call.id, -err);
  return 0;
}

}  // namespace kernel
