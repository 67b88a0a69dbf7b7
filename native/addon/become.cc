#include "../kernel/become.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "../kernel/handover.h"
#include "convert.h"

namespace addon {

namespace {

// The bytes of a view over a secret's own memory: it lies outside of V8's heap, so that asking
// for its address copies nothing.
bool ViewArgument(const Napi::CallbackInfo& info, size_t index, uint8_t** bytes, size_t* length) {
  if (info.Length() > index && info[index].IsArrayBuffer()) {
    auto buffer = info[index].As<Napi::ArrayBuffer>();
    *bytes = static_cast<uint8_t*>(buffer.Data());
    *length = buffer.ByteLength();
    if (*length > 0) return true;
  }
  Napi::TypeError::New(info.Env(), "argument " + std::to_string(index) + " must be an ArrayBuffer that is not empty").ThrowAsJavaScriptException();
  return false;
}

// makeHandover(view): a descriptor, close-on-exec.
Napi::Value MakeHandover(const Napi::CallbackInfo& info) {
  uint8_t* bytes;
  size_t length;
  if (!ViewArgument(info, 0, &bytes, &length)) return info.Env().Undefined();
  auto made = kernel::MakeHandover(bytes, length);
  if (!made.ok()) return ReturnOrThrow(info.Env(), made.status);
  return Napi::Number::New(info.Env(), made.value.release());
}

// handoverSize(fd)
Napi::Value HandoverSize(const Napi::CallbackInfo& info) {
  int32_t fd;
  if (!IntArgument(info, 0, &fd)) return info.Env().Undefined();
  auto size = kernel::HandoverSize(fd);
  if (!size.ok()) return ReturnOrThrow(info.Env(), size.status);
  return Napi::Number::New(info.Env(), static_cast<double>(size.value));
}

// takeHandover(fd, view)
Napi::Value TakeHandover(const Napi::CallbackInfo& info) {
  int32_t fd;
  uint8_t* bytes;
  size_t length;
  if (!IntArgument(info, 0, &fd) || !ViewArgument(info, 1, &bytes, &length)) return info.Env().Undefined();
  return ReturnOrThrow(info.Env(), kernel::TakeHandover(fd, bytes, length));
}

// findUser(nameOrNumber): { uid, gid, name, home, groups }, or undefined where no database has it. getpwnam(3)
Napi::Value FindUser(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string name;
  if (!StringArgument(info, 0, &name)) return env.Undefined();
  const bool number = name.find_first_not_of("0123456789") == std::string::npos;
  std::vector<char> room(1 << 16);
  passwd entry;
  passwd* found = nullptr;
  const int failed = number ? getpwuid_r(static_cast<uid_t>(std::stoul(name)), &entry, room.data(), room.size(), &found)
                            : getpwnam_r(name.c_str(), &entry, room.data(), room.size(), &found);
  if (failed != 0) return ReturnOrThrow(env, kernel::Status::Error(failed, number ? "getpwuid_r" : "getpwnam_r"), name);
  if (found == nullptr) return env.Undefined();
  int count = 0;
  getgrouplist(found->pw_name, found->pw_gid, nullptr, &count);
  std::vector<gid_t> groups(static_cast<size_t>(count) + 16);
  count = static_cast<int>(groups.size());
  if (getgrouplist(found->pw_name, found->pw_gid, groups.data(), &count) < 0) return ReturnOrThrow(env, kernel::Status::Error(ERANGE, "getgrouplist"), name);
  Napi::Object user = Napi::Object::New(env);
  user.Set("uid", Napi::Number::New(env, found->pw_uid));
  user.Set("gid", Napi::Number::New(env, found->pw_gid));
  user.Set("name", Napi::String::New(env, found->pw_name));
  user.Set("home", Napi::String::New(env, found->pw_dir));
  Napi::Array listed = Napi::Array::New(env, static_cast<size_t>(count));
  for (uint32_t i = 0; i < static_cast<uint32_t>(count); i++) listed.Set(i, Napi::Number::New(env, groups[i]));
  user.Set("groups", listed);
  return user;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<uint32_t> Numbers(const Napi::Value& value) {
  auto array = value.As<Napi::Array>();
  std::vector<uint32_t> numbers(array.Length());
  for (uint32_t i = 0; i < array.Length(); i++) numbers[i] = static_cast<Napi::Value>(array[i]).ToNumber().Uint32Value();
  return numbers;
}

// become(path, argv, environment, keep, moves, user): `moves` is source, target, source, target...; `user` is
// uid, gid and the groups, or empty. Throws while there is a way back; behind that it says why and ends the process.
Napi::Value Become(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string path;
  std::vector<std::string> argv, environment;
  if (!StringArgument(info, 0, &path) || !StringsOf(env, info[1], &argv) || !StringsOf(env, info[2], &environment)) return env.Undefined();
  if (info.Length() < 6 || !info[3].IsBigInt() || !info[4].IsArray() || !info[5].IsArray()) {
    Napi::TypeError::New(env, "arguments 3 to 5 must be a set, moves and a user").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  bool lossless;
  kernel::Successor successor;
  successor.path = path.c_str();
  auto argv_pointers = Pointers(argv), environment_pointers = Pointers(environment);
  successor.argv = argv_pointers.data();
  successor.envp = environment_pointers.data();
  successor.keep = info[3].As<Napi::BigInt>().Uint64Value(&lossless);
  const std::vector<uint32_t> ends = Numbers(info[4]), ids = Numbers(info[5]);
  std::vector<kernel::Move> moves;
  for (size_t i = 0; i + 1 < ends.size(); i += 2) moves.push_back({static_cast<int>(ends[i]), static_cast<int>(ends[i + 1])});
  successor.moves = moves.data();
  successor.move_count = moves.size();
  std::vector<gid_t> groups(ids.size() < 2 ? ids.end() : ids.begin() + 2, ids.end());
  kernel::User user;
  if (ids.size() >= 2) {
    user = {ids[0], ids[1], groups.data(), groups.size()};
    successor.user = &user;
  }

  kernel::Status status = kernel::PrepareToBecome(successor);
  if (!status.ok()) return ReturnOrThrow(env, status);
  status = kernel::Become(successor);
  dprintf(STDERR_FILENO, "sallyport exec: %s: %s, %s '%s'\n", ErrnoName(status.err), strerror(status.err), status.syscall, path.c_str());
  _exit(status.err == ENOENT ? 127 : 126);  // as a shell has it
}

}  // namespace

void InitBecome(Napi::Env env, Napi::Object exports) {
  exports.Set("become", Napi::Function::New(env, Become));
  exports.Set("findUser", Napi::Function::New(env, FindUser));
  exports.Set("handoverSize", Napi::Function::New(env, HandoverSize));
  exports.Set("makeHandover", Napi::Function::New(env, MakeHandover));
  exports.Set("takeHandover", Napi::Function::New(env, TakeHandover));
}

}  // namespace addon
