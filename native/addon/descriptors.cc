#include "../kernel/descriptors.h"

#include <fcntl.h>

#include "convert.h"

namespace addon {

// [ours, theirs]: two numbers that JavaScript owns from here on.
static Napi::Value ReleasePair(Napi::Env env, kernel::Result<kernel::DescriptorPair> pair) {
  if (!pair.ok()) return ReturnOrThrow(env, pair.status);
  Napi::Array fds = Napi::Array::New(env, 2);
  fds.Set(0u, Napi::Number::New(env, pair.value.ours.release()));
  fds.Set(1u, Napi::Number::New(env, pair.value.theirs.release()));
  return fds;
}

static Napi::Value SocketPair(const Napi::CallbackInfo& info) {
  return ReleasePair(info.Env(), kernel::SocketPair());
}

static Napi::Value ReadPipe(const Napi::CallbackInfo& info) {
  return ReleasePair(info.Env(), kernel::Pipe(true));
}

static Napi::Value WritePipe(const Napi::CallbackInfo& info) {
  return ReleasePair(info.Env(), kernel::Pipe(false));
}

static Napi::Value Duplicate(const Napi::CallbackInfo& info) {
  int32_t fd;
  if (!IntArgument(info, 0, &fd)) return info.Env().Undefined();
  const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return ReturnOrThrow(info.Env(), kernel::Status::FromErrno("fcntl"));
  return Napi::Number::New(info.Env(), copy);
}

static Napi::Value SendDescriptor(const Napi::CallbackInfo& info) {
  int32_t socket, fd;
  if (!IntArgument(info, 0, &socket) || !IntArgument(info, 1, &fd)) return info.Env().Undefined();
  if (info.Length() < 3 || !info[2].IsTypedArray() || info[2].As<Napi::TypedArray>().ByteLength() == 0) {
    Napi::TypeError::New(info.Env(), "argument 2 must be a Uint8Array that is not empty").ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  auto bytes = info[2].As<Napi::TypedArray>();
  const char* start = static_cast<const char*>(bytes.ArrayBuffer().Data()) + bytes.ByteOffset();
  auto sent = kernel::SendDescriptor(socket, fd, start, bytes.ByteLength());
  if (!sent.ok()) return ReturnOrThrow(info.Env(), sent.status);
  return Napi::Number::New(info.Env(), static_cast<double>(sent.value));
}

void InitDescriptors(Napi::Env env, Napi::Object exports) {
  exports.Set("socketPair", Napi::Function::New(env, SocketPair));
  exports.Set("readPipe", Napi::Function::New(env, ReadPipe));
  exports.Set("writePipe", Napi::Function::New(env, WritePipe));
  exports.Set("duplicate", Napi::Function::New(env, Duplicate));
  exports.Set("sendDescriptor", Napi::Function::New(env, SendDescriptor));
}

}  // namespace addon
