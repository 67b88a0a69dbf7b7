#include "../kernel/secret_memory.h"

#include <cerrno>
#include <memory>

#include "../kernel/environment.h"
#include "convert.h"

namespace addon {

namespace {

using kernel::SecretMemory;

// Shared by the JavaScript handle and by every view of the bytes. Destroying wipes at
// once, but gives the memory back only when no view is open: an operation that is still at
// work on one reads zeros, and never another secret or memory that is gone.
struct Held {
  SecretMemory memory;
  bool destroyed = false;
  int views = 0;

  void Destroy() noexcept {
    memory.Wipe();
    destroyed = true;
    if (views == 0) memory = SecretMemory();
  }
};
using Shared = std::shared_ptr<Held>;

Napi::Value HandleOrThrow(Napi::Env env, kernel::Result<SecretMemory> made) {
  if (!made.ok()) return ReturnOrThrow(env, made.status);
  auto* shared = new Shared(std::make_shared<Held>());
  (*shared)->memory = std::move(made.value);
  // Wipes a handle that is forgotten, and all of them where the environment is torn down: a worker's end, or
  // a main thread that runs out of work. process.exit() and signals run no finalizer.
  return Napi::External<Shared>::New(env, shared, [](Napi::Env, Shared* held) { delete held; });
}

// Throws and returns null for anything but a handle.
Shared HandleArgument(const Napi::CallbackInfo& info, size_t index) {
  if (info.Length() > index && info[index].IsExternal()) return *info[index].As<Napi::External<Shared>>().Data();
  Napi::TypeError::New(info.Env(), "argument " + std::to_string(index) + " must be a secret's handle").ThrowAsJavaScriptException();
  return nullptr;
}

bool SizeArgument(const Napi::CallbackInfo& info, size_t index, size_t* out) {
  int32_t value;
  if (!IntArgument(info, index, &value)) return false;
  if (value >= 0) {
    *out = static_cast<size_t>(value);
    return true;
  }
  Napi::RangeError::New(info.Env(), "argument " + std::to_string(index) + " must not be negative").ThrowAsJavaScriptException();
  return false;
}

// newSecret(size): a handle to zeros, for JavaScript to fill. It must not hand its bytes
// to us: V8 keeps a small typed array on its heap and leaves a copy of it there when
// Node-API asks for the address.
Napi::Value NewSecret(const Napi::CallbackInfo& info) {
  size_t size;
  if (!SizeArgument(info, 0, &size)) return info.Env().Undefined();
  if (size == 0) return ReturnOrThrow(info.Env(), kernel::Status::Error(ENODATA, "mmap"));
  return HandleOrThrow(info.Env(), SecretMemory::Create(size));
}

// secretFromDescriptor(fd, most, timeoutMs, keepNewline): holds the event loop for at most so long.
Napi::Value SecretFromDescriptor(const Napi::CallbackInfo& info) {
  int32_t fd;
  kernel::ReadOptions options = {};
  if (!IntArgument(info, 0, &fd) || !SizeArgument(info, 1, &options.most) || !IntArgument(info, 2, &options.timeout_ms)) return info.Env().Undefined();
  options.keep_newline = info.Length() > 3 && info[3].ToBoolean();
  return HandleOrThrow(info.Env(), kernel::ReadSecret(fd, options));
}

// secretFromEnvironment(name, most)
Napi::Value SecretFromEnvironment(const Napi::CallbackInfo& info) {
  std::string name;
  size_t most;
  if (!StringArgument(info, 0, &name) || !SizeArgument(info, 1, &most)) return info.Env().Undefined();
  return HandleOrThrow(info.Env(), kernel::TakeEnvironment(name.c_str(), most));
}

// openSecret(handle): an ArrayBuffer over the secret's own memory, for closeSecret().
Napi::Value OpenSecret(const Napi::CallbackInfo& info) {
  Shared held = HandleArgument(info, 0);
  if (held == nullptr || held->destroyed) return info.Env().Undefined();
  held->views++;
  return Napi::ArrayBuffer::New(info.Env(), held->memory.data(), held->memory.size(),
                                [](Napi::Env, void*, Shared* view) { delete view; }, new Shared(held));
}

// closeSecret(handle, buffer): detaches it; every view of it has length 0 from now on.
Napi::Value CloseSecret(const Napi::CallbackInfo& info) {
  Shared held = HandleArgument(info, 0);
  if (held == nullptr || info.Length() < 2 || !info[1].IsArrayBuffer()) return info.Env().Undefined();
  auto buffer = info[1].As<Napi::ArrayBuffer>();
  // Moved elsewhere by ArrayBuffer.prototype.transfer(): its memory stays until that one is collected.
  if (buffer.IsDetached()) return info.Env().Undefined();
  buffer.Detach();
  held->views--;
  if (held->destroyed) held->Destroy();
  return info.Env().Undefined();
}

// destroySecret(handle): wipes now; gives back now, or with the last view. Twice is fine.
Napi::Value DestroySecret(const Napi::CallbackInfo& info) {
  Shared held = HandleArgument(info, 0);
  if (held != nullptr) held->Destroy();
  return info.Env().Undefined();
}

// describeSecret(handle): { byteLength, protection }
Napi::Value DescribeSecret(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Shared held = HandleArgument(info, 0);
  if (held == nullptr || held->destroyed) return env.Undefined();
  Napi::Object described = Napi::Object::New(env);
  described.Set("byteLength", Napi::Number::New(env, static_cast<double>(held->memory.size())));
  described.Set("protection", Napi::String::New(env, held->memory.kind() == SecretMemory::Kind::kMemfdSecret ? "memfd_secret" : "mlock"));
  return described;
}

Napi::Value EqualSecrets(const Napi::CallbackInfo& info) {
  Shared a = HandleArgument(info, 0);
  Shared b = a == nullptr ? nullptr : HandleArgument(info, 1);
  if (b == nullptr) return info.Env().Undefined();
  return Napi::Boolean::New(info.Env(), !a->destroyed && !b->destroyed && kernel::SameBytes(a->memory, b->memory));
}

}  // namespace

void InitSecretMemory(Napi::Env env, Napi::Object exports) {
  exports.Set("closeSecret", Napi::Function::New(env, CloseSecret));
  exports.Set("describeSecret", Napi::Function::New(env, DescribeSecret));
  exports.Set("destroySecret", Napi::Function::New(env, DestroySecret));
  exports.Set("equalSecrets", Napi::Function::New(env, EqualSecrets));
  exports.Set("newSecret", Napi::Function::New(env, NewSecret));
  exports.Set("openSecret", Napi::Function::New(env, OpenSecret));
  exports.Set("secretFromDescriptor", Napi::Function::New(env, SecretFromDescriptor));
  exports.Set("secretFromEnvironment", Napi::Function::New(env, SecretFromEnvironment));
}

}  // namespace addon
